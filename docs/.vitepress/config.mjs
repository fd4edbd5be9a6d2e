import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitepress'

const docs = fileURLToPath(new URL('..', import.meta.url))

/** A page's first heading. */
function heading(path) {
  const found = /^# (.+)$/m.exec(readFileSync(path, 'utf8'))
  return found ? found[1].replaceAll('`', '') : path
}

/** Sidebar entries for the pages of a folder, in the order of their file names. */
function pagesOf(folder) {
  const path = join(docs, folder)
  if (!existsSync(path)) return []
  return readdirSync(path)
    .filter((name) => name.endsWith('.md') && name !== 'index.md')
    .sort()
    .map((name) => ({ text: heading(join(path, name)), link: `/${folder}/${name.slice(0, -3)}` }))
}

if (!existsSync(join(docs, 'reference', 'index.md'))) {
  throw new Error('docs/reference is missing: run `python -m tools.docs_pages` first, as `make docs` does')
}

/** The theme's two small scripts as files of their own, so that the site works where inline scripts are forbidden. */
function externalScripts(html, outDir) {
  return html.replace(/<script id="([\w-]+)">([^]*?)<\/script>/g, (_, id, code) => {
    const hash = createHash('sha256').update(code).digest('hex').slice(0, 8)
    const file = `assets/${id}.${hash}.js`
    mkdirSync(join(outDir, 'assets'), { recursive: true })
    writeFileSync(join(outDir, file), code)
    return `<script id="${id}" src="/${file}"></script>`
  })
}

export default defineConfig({
  title: 'vise.platform',
  description: 'A small company’s platform on its own servers, from one description and one command',
  lang: 'en',
  head: [['link', { rel: 'icon', href: '/favicon.svg', type: 'image/svg+xml' }]],
  srcExclude: ['README.md', 'generated/**'],
  // Without it the map of the pages would be an inline script.
  metaChunk: true,
  transformHtml: (html, _, { siteConfig }) => externalScripts(html, siteConfig.outDir),
  markdown: {
    config(md) {
      // Pages quote Jinja; none of them uses Vue's own braces.
      for (const kind of ['text', 'code_inline']) {
        const rule = md.renderer.rules[kind]
        md.renderer.rules[kind] = (...args) => rule(...args).replaceAll('{{', '&#123;&#123;')
      }
    },
  },
  themeConfig: {
    search: { provider: 'local' },
    outline: [2, 3],
    nav: [
      { text: 'Getting started', link: '/getting-started' },
      { text: 'Reference', link: '/reference/' },
    ],
    sidebar: [
      {
        text: 'Manual',
        items: [
          { text: 'Getting started', link: '/getting-started' },
          { text: 'Architecture', link: '/architecture' },
          { text: 'How a component works', link: '/how-component-works' },
          { text: 'Daily work', link: '/daily-work' },
          { text: 'Moving a site', link: '/moving-a-site' },
          { text: 'Check and status', link: '/checking' },
          { text: 'Read a failed run', link: '/failed-runs' },
          { text: 'Release and roll back a site', link: '/releases' },
          { text: 'Connect an application', link: '/applications' },
          { text: 'Update the collection', link: '/updating' },
          { text: 'Replace a server', link: '/replacing-a-server' },
          { text: 'Certificates', link: '/certificates' },
          { text: 'Updates', link: '/updates' },
          { text: 'Data and its backups', link: '/backups' },
          { text: 'Mail', link: '/mail' },
          { text: 'DNS', link: '/dns' },
          { text: 'DKIM keys', link: '/dkim' },
          { text: 'The sandbox', link: '/sandbox' },
          { text: 'Testing', link: '/testing' },
        ],
      },
      { text: 'Description', link: '/reference/description' },
      { text: 'Roles', items: pagesOf('reference/roles') },
      { text: 'Plugins', items: pagesOf('reference/plugins') },
      { text: 'Decisions', collapsed: true, items: pagesOf('decisions') },
    ],
  },
})
