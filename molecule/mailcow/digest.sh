#!/bin/sh
# Print the digest of the stand-in's image at a release: digest.sh RELEASE
set -eu
curl -sS --fail --cacert "$MOLECULE_PROJECT_DIRECTORY/.cache/sandbox/ca.crt" --resolve registry.vln.test:443:172.30.0.8 \
  -H 'Accept: application/vnd.docker.distribution.manifest.v2+json' --head \
  "https://registry.vln.test/v2/mailcow/stand-in/manifests/$1" | tr -d '\r' | sed -n 's/^docker-content-digest: //Ip'
