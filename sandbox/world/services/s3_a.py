"""Object storage: S3 in the region eu-central-1; objects are plain files in /var/lib/world/s3-a.

names: s3-a.vln.test
address: 6
ports: 443
faults: slow 403 500
ready: curl -sS --aws-sigv4 aws:amz:eu-central-1:s3 -u nobody:x https://s3-a.vln.test/ | grep -q InvalidAccessKeyId
"""

from __future__ import annotations

from kit import s3

if __name__ == "__main__":
    s3.serve("s3_a", "eu-central-1", "6")
