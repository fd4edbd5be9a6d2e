# Make the host one that the role has not configured, with the rules of a provider's image. The rules of an image accept
# SSH, reject everything else, and protect the network disk from users that are not root.
rm -rf /var/lib/vise/components/firewall /var/lib/vise/firewall /usr/local/lib/vise/firewall /usr/local/sbin/vise-firewall
rm -f /etc/systemd/system/{nftables,netfilter-persistent,firewalld}.service
cp /usr/share/ufw/iptables/*.rules /usr/share/ufw/ufw.conf /etc/ufw/
printf 'IPV6=yes\nDEFAULT_INPUT_POLICY="DROP"\nDEFAULT_FORWARD_POLICY="ACCEPT"\n' >/etc/default/ufw
for rules in /etc/ufw/user.rules /etc/ufw/user6.rules; do
  sed -i 's/^### RULES ###/&\n\n### tuple ### allow any 22 0.0.0.0\/0 any 0.0.0.0\/0 in\n/' $rules
done
sed -i 's/^### RULES ###/&\n\n### tuple ### allow tcp 8081 0.0.0.0\/0 any 0.0.0.0\/0 in\n/' /etc/ufw/user.rules
cat >/etc/provider.rules <<'RULES'
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:InstanceServices - [0:0]
-A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT
-A INPUT -i lo -j ACCEPT
-A INPUT -p tcp -m state --state NEW -m tcp --dport 22 -j ACCEPT
-A INPUT -j REJECT --reject-with icmp-host-prohibited
-A OUTPUT -d 169.254.0.0/16 -j InstanceServices
-A InstanceServices -d 169.254.0.0/16 -p tcp -m comment --comment "The disk -j ACCEPT" -j REJECT --reject-with tcp-reset
COMMIT
RULES
cat >/etc/systemd/system/provider-rules.service <<'UNIT'
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/iptables-restore /etc/provider.rules
[Install]
WantedBy=multi-user.target
UNIT
systemctl daemon-reload
for i in iptables ip6tables; do $i -P INPUT ACCEPT; $i -F INPUT; done
# Not the unit: it would also flush the rules of the containers that other tests use.
iptables-restore --noflush /etc/provider.rules
systemctl enable provider-rules.service
