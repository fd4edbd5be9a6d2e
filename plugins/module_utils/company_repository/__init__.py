# Copyright: vise.platform contributors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The repository of a company: its answers, the files that follow from them, and additions to existing files."""
