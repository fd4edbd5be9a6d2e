#!/bin/sh
# Files of mailcow's directory that an administrator has changed and added: changed.sh SSH put|check|remove
set -eu
$1 sh -eu -s "$2" <<'END'
cd /opt/mailcow-dockerized
case $1 in
  put)
    grep -q 'by an administrator' data/conf/rspamd/local.d/actions.conf || echo '# by an administrator' >>data/conf/rspamd/local.d/actions.conf
    echo 'smtpd_banner = $myhostname of an administrator' >data/conf/postfix/extra.cf
    chmod 0640 data/conf/postfix/extra.cf
    ;;
  check)
    grep -q 'by an administrator' data/conf/rspamd/local.d/actions.conf
    test "$(stat -c %a data/conf/postfix/extra.cf)" = 640
    # The running Postfix uses it
    timeout 10 bash -c 'exec 3<>/dev/tcp/127.0.0.1/25; head -n 1 <&3' | grep 'of an administrator'
    ;;
  remove)
    git checkout -q data/conf/rspamd/local.d/actions.conf
    rm data/conf/postfix/extra.cf
    ;;
esac
END
