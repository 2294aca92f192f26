//! Address checks: where Firn connects to is `https` to a public address, or what the operator
//! allowed. Every address that a name resolves to is checked, and a checked one is connected to.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use url::{Host, Url};

/// Which addresses may be connected to besides public ones by `https`.
#[derive(Debug, Clone, Default)]
pub struct Addresses {
    /// Loopback, by `http` too: for the sandbox.
    pub loopback: bool,
    /// Hosts of the operator's own network, by name.
    pub hosts: Vec<String>,
}

/// How connections leave, where they do not leave directly.
#[derive(Debug, Clone, Default)]
pub struct Egress {
    /// The proxy that everything goes through: `http://proxy.internal:3128`, `socks5h://…` is not
    /// spoken. It resolves names itself: that a name leads to a public address is its business then.
    pub proxy: Option<Url>,
    /// Certificates of authorities (PEM) that are believed besides the public ones.
    pub authorities: Vec<Vec<u8>>,
}

/// Why an address is not connected to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{url} is not allowed: {why}")]
pub struct AddressError {
    url: String,
    why: String,
}

impl Addresses {
    /// Checks a URL as far as it can be without resolving its name.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn check(&self, text: &str) -> Result<Url, AddressError> {
        let refuse =
            |why: &str| AddressError { url: text.chars().take(120).collect(), why: why.to_owned() };
        let url = Url::parse(text).map_err(|e| refuse(&e.to_string()))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refuse("credentials do not belong into a URL"));
        }
        let host = url.host().ok_or_else(|| refuse("it has no host"))?;
        let local = match &host {
            Host::Domain(name) => is_localhost(name),
            Host::Ipv4(ip) => IpAddr::V4(*ip).is_loopback(),
            Host::Ipv6(ip) => IpAddr::V6(*ip).to_canonical().is_loopback(),
        };
        let named = self.hosts.iter().any(|h| url.host_str() == Some(h.as_str()));
        if named || (local && self.loopback) {
            return match url.scheme() {
                "http" | "https" => Ok(url),
                _ => Err(refuse("only http and https are spoken")),
            };
        }
        if url.scheme() != "https" {
            return Err(refuse(
                "only https is spoken with other hosts; allow a host of your own network with --allow-host",
            ));
        }
        if local {
            return Err(refuse("it is this machine itself"));
        }
        let literal = match host {
            Host::Domain(_) => None,
            Host::Ipv4(ip) => Some(IpAddr::V4(ip)),
            Host::Ipv6(ip) => Some(IpAddr::V6(ip)),
        };
        match literal {
            Some(ip) if !is_public(ip) => Err(refuse("it is not a public address")),
            _ => Ok(url),
        }
    }

    fn allows(&self, host: &str, ip: IpAddr) -> bool {
        is_public(ip)
            || (self.loopback && ip.to_canonical().is_loopback())
            || self.hosts.iter().any(|h| h == host)
    }
}

fn is_localhost(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost")
}

/// Whether an address is one of the public internet. `to_canonical` first: `::ffff:127.0.0.1` is
/// this machine.
fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            !(ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_broadcast()
                || ip.is_documentation()
                || ip.is_multicast()
                || a == 0
                || a >= 240
                || (a == 100 && (64..128).contains(&b))
                || (a == 192 && b == 0 && c == 0)
                || (a == 198 && (b == 18 || b == 19))
                || ip.octets() == [168, 63, 129, 16])
        }
        IpAddr::V6(ip) => {
            let [a, b, ..] = ip.segments();
            let embeds = (a == 0x64 && b == 0xff9b) || a == 0x2002 || (a == 0x2001 && b == 0);
            !(ip.is_loopback()
                || ip == Ipv6Addr::UNSPECIFIED
                || ip.is_multicast()
                || (a & 0xfe00) == 0xfc00
                || (a & 0xffc0) == 0xfe80
                || (a == 0x2001 && b == 0xdb8)
                || ip.segments()[..6] == [0; 6]
                || embeds)
        }
    }
}

/// Resolves names, and checks every address that they have. The proxy's own is the operator's word.
pub(crate) struct Resolver {
    pub(crate) addresses: Addresses,
    pub(crate) proxy: Option<String>,
}

impl reqwest::dns::Resolve for Resolver {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let mut allowed = self.addresses.clone();
        allowed.hosts.extend(self.proxy.clone());
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            // One address that is not allowed spoils the name: it could be the one that is used.
            if found.is_empty() || !found.iter().all(|a| allowed.allows(&host, a.ip())) {
                return Err(format!("{host} resolves to an address that is not allowed").into());
            }
            Ok(Box::new(found.into_iter()) as reqwest::dns::Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_https_by_default() {
        let addresses = Addresses::default();
        assert!(addresses.check("https://example.service-now.com").is_ok());
        for bad in [
            "http://example.service-now.com",
            "https://127.0.0.1",
            "https://127.1",
            "https://0x7f000001",
            "https://localhost",
            "https://a.localhost.",
            "https://10.0.0.1",
            "https://169.254.169.254",
            "https://[::1]",
            "https://[::ffff:127.0.0.1]",
            "https://[fd00::1]",
            "https://[64:ff9b::7f00:1]",
            "https://168.63.129.16",
            "https://100.64.0.1",
            "https://user:pw@example.com",
            "ftp://example.com",
            "file:///etc/passwd",
            "nonsense",
            "https://[::127.0.0.1]",
        ] {
            assert!(addresses.check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_sandbox_and_the_operator_may_allow_more() {
        let sandbox = Addresses { loopback: true, hosts: Vec::new() };
        assert!(sandbox.check("http://127.0.0.1:8080").is_ok());
        assert!(sandbox.check("http://10.0.0.1").is_err());
        let own = Addresses { loopback: false, hosts: vec!["snow.internal".to_owned()] };
        assert!(own.check("http://snow.internal:8080/x").is_ok());
        assert!(own.check("http://other.internal").is_err());
    }
}
