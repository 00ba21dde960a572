//! Whom a client wants to reach.

use crate::ConfigError;
use std::fmt;
use std::net::IpAddr;

/// The name that a server's certificate must be for: a `dNSName` or an `iPAddress` (RFC 9525 §6).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerName(Kind);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Dns(String),
    Ip(IpAddr),
}

impl ServerName {
    /// Reads `fleet.example`, `192.0.2.7`, `2001:db8::1` or `[2001:db8::1]`, without a port.
    pub fn parse(name: &str) -> Result<Self, ConfigError> {
        let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        if let Ok(address) = bare.unwrap_or(name).parse() {
            return Ok(Self(Kind::Ip(address)));
        }
        crate::backend::check_dns_name(name)?;
        Ok(Self(Kind::Dns(name.to_owned())))
    }

    pub(crate) const fn kind(&self) -> &Kind {
        &self.0
    }
}

impl From<IpAddr> for ServerName {
    fn from(address: IpAddr) -> Self {
        Self(Kind::Ip(address))
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Dns(name) => f.write_str(name),
            Kind::Ip(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_told_apart() {
        assert!(matches!(ServerName::parse("fleet.example").unwrap().kind(), Kind::Dns(_)));
        for address in ["192.0.2.7", "2001:db8::1", "[2001:db8::1]"] {
            assert!(matches!(ServerName::parse(address).unwrap().kind(), Kind::Ip(_)));
        }
        for wrong in ["", "fleet.example:443", "a b", "[fleet]", "999.0.0.1"] {
            assert_eq!(ServerName::parse(wrong), Err(ConfigError::BadName), "{wrong}");
        }
    }
}
