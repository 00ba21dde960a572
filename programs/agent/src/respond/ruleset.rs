//! The ruleset of the quarantine, as text for `nft -f -`.

use std::fmt::Write;
use std::net::SocketAddr;

/// The table that holds everything; nothing of others is touched.
pub const TABLE: &str = "inet touchstone";

/// The ruleset that leaves open: loopback, TCP to the addresses of `allow` with the answers to it,
/// what keeps the link and the address alive (neighbour discovery, DHCP), and ICMP errors, without
/// which TCP does not learn the path's MTU. ARP is not of this family and goes on. Loading it again
/// replaces it: `nft` applies a file as one transaction.
pub fn ruleset(allow: &[SocketAddr]) -> String {
    let mut output = String::new();
    let mut input = String::new();
    for address in allow {
        let family = if address.is_ipv4() { "ip" } else { "ip6" };
        let (ip, port) = (address.ip(), address.port());
        // Writing to a String can not fail.
        let _ = writeln!(output, "    {family} daddr {ip} tcp dport {port} accept");
        let _ = writeln!(
            input,
            "    {family} saddr {ip} tcp sport {port} ct state established,related accept"
        );
    }
    format!(
        "add table {TABLE}
delete table {TABLE}
table {TABLE} {{
  chain output {{
    type filter hook output priority -150; policy drop;
    oifname \"lo\" accept
{output}{LINK_OUT}  }}
  chain input {{
    type filter hook input priority -150; policy drop;
    iifname \"lo\" accept
{input}{LINK_IN}  }}
  chain forward {{
    type filter hook forward priority -150; policy drop;
  }}
}}
"
    )
}

const LINK_OUT: &str = "    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, mld-listener-report, mld2-listener-report } accept
    icmp type { destination-unreachable, time-exceeded, parameter-problem } accept
    icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem } accept
    udp sport 68 udp dport 67 accept
    ip6 daddr { fe80::/10, ff02::1:2 } udp sport 546 udp dport 547 accept
";

const LINK_IN: &str = "    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert, mld-listener-query } accept
    icmp type { destination-unreachable, time-exceeded, parameter-problem } accept
    icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem } accept
    udp sport 67 udp dport 68 accept
    ip6 saddr fe80::/10 udp sport 547 udp dport 546 accept
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chain_drops_what_is_not_named() {
        let text =
            ruleset(&["192.0.2.1:8443".parse().unwrap(), "[2001:db8::1]:1".parse().unwrap()]);
        assert_eq!(text.matches("policy drop;").count(), 3);
        assert!(text.contains("ip daddr 192.0.2.1 tcp dport 8443 accept"));
        assert!(text.contains("ip6 saddr 2001:db8::1 tcp sport 1 ct state established"));
    }
}
