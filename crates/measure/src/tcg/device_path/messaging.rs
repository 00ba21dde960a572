//! Messaging nodes (UEFI 2.10 §10.3.4).

use super::{Hex, hardware};
use crate::tcg::{Guid, text};
use alloc::format;
use alloc::string::String;
use core::fmt::Write;
use touchstone_wire::Reader;

pub(super) fn node(subtype: u8, body: &[u8]) -> Option<String> {
    let mut reader = Reader::new(body);
    let text = known(subtype, &mut reader)?;
    reader.is_empty().then_some(text)
}

fn known(subtype: u8, reader: &mut Reader<'_>) -> Option<String> {
    Some(match subtype {
        1 => {
            let [secondary, slave] = reader.array().ok()?;
            let (controller, drive) = (
                if secondary == 0 { "Primary" } else { "Secondary" },
                if slave == 0 { "Master" } else { "Slave" },
            );
            format!("Ata({controller},{drive},0x{:X})", reader.u16_le().ok()?)
        }
        2 => format!("Scsi(0x{:X},0x{:X})", reader.u16_le().ok()?, reader.u16_le().ok()?),
        3 | 21 => {
            let name = if subtype == 3 { "Fibre" } else { "FibreEx" };
            reader.u32_le().ok()?;
            let (port, unit) = if subtype == 3 {
                (reader.u64_le().ok()?, reader.u64_le().ok()?)
            } else {
                (reader.u64().ok()?, reader.u64().ok()?)
            };
            format!("{name}(0x{port:X},0x{unit:X})")
        }
        4 => {
            reader.u32_le().ok()?;
            format!("I1394({:016X})", reader.u64_le().ok()?)
        }
        5 => format!("USB(0x{:X},0x{:X})", reader.u8().ok()?, reader.u8().ok()?),
        6 => format!("I2O(0x{:X})", reader.u32_le().ok()?),
        9 => infiniband(reader)?,
        10 => vendor(reader)?,
        11 => mac(reader)?,
        12 => ipv4(reader)?,
        13 => ipv6(reader)?,
        14 => uart(reader)?,
        15 => {
            let (vendor, product) = (reader.u16_le().ok()?, reader.u16_le().ok()?);
            let [class, subclass, protocol] = reader.array().ok()?;
            format!(
                "UsbClass(0x{vendor:X},0x{product:X},0x{class:X},0x{subclass:X},0x{protocol:X})"
            )
        }
        16 => {
            let interface = reader.u16_le().ok()?;
            let (vendor, product) = (reader.u16_le().ok()?, reader.u16_le().ok()?);
            let serial = text::utf16(reader.rest())?;
            format!("UsbWwid(0x{vendor:X},0x{product:X},0x{interface:X},\"{serial}\")")
        }
        17 => format!("Unit(0x{:X})", reader.u8().ok()?),
        18 => {
            let (port, multiplier) = (reader.u16_le().ok()?, reader.u16_le().ok()?);
            format!("Sata(0x{port:X},0x{multiplier:X},0x{:X})", reader.u16_le().ok()?)
        }
        19 => iscsi(reader)?,
        20 => format!("Vlan({})", reader.u16_le().ok()?),
        22 => {
            let (address, unit) = (reader.u64().ok()?, reader.u64().ok()?);
            let [info, bay] = reader.array().ok()?;
            let port = reader.u16_le().ok()?;
            format!("SasEx(0x{address:X},0x{unit:X},0x{port:X},0x{info:X},0x{bay:X})")
        }
        23 => {
            let namespace = reader.u32_le().ok()?;
            // The identifier is shown with its most significant octet first.
            let mut id: [u8; 8] = reader.array().ok()?;
            id.reverse();
            format!("NVMe(0x{namespace:X},{})", hyphened(&id)?)
        }
        24 => format!("Uri({})", text::plain(reader.rest())?),
        25 => format!("UFS(0x{:X},0x{:X})", reader.u8().ok()?, reader.u8().ok()?),
        26 => format!("SD(0x{:X})", reader.u8().ok()?),
        27 => format!("Bluetooth({})", Hex(&reader.array::<6>().ok()?)),
        28 => format!("WiFi({})", text::plain(&reader.array::<32>().ok()?)?),
        29 => format!("eMMC(0x{:X})", reader.u8().ok()?),
        30 => {
            let address = reader.array::<6>().ok()?;
            format!("BluetoothLE({},0x{:02X})", Hex(&address), reader.u8().ok()?)
        }
        31 => dns(reader)?,
        32 => format!("NvdimmNamespace({})", Guid(reader.array().ok()?)),
        33 => rest_service(reader)?,
        34 => {
            let kind = reader.u8().ok()?;
            let id = reader.array::<16>().ok()?;
            let subsystem = text::plain(reader.rest())?;
            format!("NVMEoF({subsystem},{kind},{})", Hex(&id))
        }
        _ => return None,
    })
}

fn infiniband(reader: &mut Reader<'_>) -> Option<String> {
    let flags = reader.u32_le().ok()?;
    let gid = reader.array::<16>().ok()?;
    let (service, target) = (reader.u64_le().ok()?, reader.u64_le().ok()?);
    let device = reader.u64_le().ok()?;
    Some(format!("Infiniband(0x{flags:X},{},0x{service:X},0x{target:X},0x{device:X})", Guid(gid)))
}

/// Vendors' nodes; terminals have names (UEFI 2.10 §10.3.4.16).
fn vendor(reader: &mut Reader<'_>) -> Option<String> {
    const TERMINALS: [(&str, &str); 4] = [
        ("e0c14753-f9be-11d2-9a0c-0090273fc14d", "VenPcAnsi()"),
        ("dfa66065-b419-11d3-9a2d-0090273fc14d", "VenVt100()"),
        ("7baec70b-57e0-4c76-8e87-2f9e28088343", "VenVt100Plus()"),
        ("ad15a0d6-8bec-4acf-a073-d01de77e2d88", "VenUtf8()"),
    ];
    let mut ahead = *reader;
    let guid = Guid(ahead.array().ok()?);
    let terminal = TERMINALS.iter().find(|(text, _)| Guid::parse(text) == Some(guid));
    if let Some((_, name)) = terminal.filter(|_| ahead.is_empty()) {
        *reader = ahead;
        return Some((*name).into());
    }
    hardware::vendor("VenMsg", reader)
}

fn mac(reader: &mut Reader<'_>) -> Option<String> {
    let address = reader.array::<32>().ok()?;
    let kind = reader.u8().ok()?;
    // Ethernet's addresses have six octets; of others nobody says how many.
    let len = if kind <= 1 { 6 } else { 32 };
    Some(format!("MAC({},0x{kind:X})", Hex(address.get(..len)?)))
}

fn protocol(number: u16) -> String {
    match number {
        6 => "TCP".into(),
        17 => "UDP".into(),
        other => format!("0x{other:X}"),
    }
}

fn ipv4(reader: &mut Reader<'_>) -> Option<String> {
    let local = core::net::Ipv4Addr::from(reader.array::<4>().ok()?);
    let remote = core::net::Ipv4Addr::from(reader.array::<4>().ok()?);
    reader.array::<4>().ok()?; // ports
    let protocol = protocol(reader.u16_le().ok()?);
    let origin = if reader.u8().ok()? == 0 { "DHCP" } else { "Static" };
    let mut text = format!("IPv4({remote},{protocol},{origin},{local}");
    // Older firmware ends here.
    if !reader.is_empty() {
        let gateway = core::net::Ipv4Addr::from(reader.array::<4>().ok()?);
        let mask = core::net::Ipv4Addr::from(reader.array::<4>().ok()?);
        write!(text, ",{gateway},{mask}").ok()?;
    }
    text.push(')');
    Some(text)
}

fn ipv6(reader: &mut Reader<'_>) -> Option<String> {
    let local = core::net::Ipv6Addr::from(reader.array::<16>().ok()?);
    let remote = core::net::Ipv6Addr::from(reader.array::<16>().ok()?);
    reader.array::<4>().ok()?; // ports
    let protocol = protocol(reader.u16_le().ok()?);
    let origin = match reader.u8().ok()? {
        0 => "Static",
        1 => "StatelessAutoConfigure",
        _ => "StatefulAutoConfigure",
    };
    let mut text = format!("IPv6({remote},{protocol},{origin},{local}");
    if !reader.is_empty() {
        let prefix = reader.u8().ok()?;
        let gateway = core::net::Ipv6Addr::from(reader.array::<16>().ok()?);
        write!(text, ",{prefix},{gateway}").ok()?;
    }
    text.push(')');
    Some(text)
}

fn uart(reader: &mut Reader<'_>) -> Option<String> {
    reader.u32_le().ok()?;
    let rate = reader.u64_le().ok()?;
    let [bits, parity, stop] = reader.array().ok()?;
    let parity = match parity {
        0 => 'D',
        1 => 'N',
        2 => 'E',
        3 => 'O',
        4 => 'M',
        5 => 'S',
        _ => 'x',
    };
    let stop = match stop {
        0 => "D",
        1 => "1",
        2 => "1.5",
        3 => "2",
        _ => "x",
    };
    Some(format!("Uart({rate},{bits},{parity},{stop})"))
}

fn iscsi(reader: &mut Reader<'_>) -> Option<String> {
    let protocol = reader.u16_le().ok()?;
    let options = reader.u16_le().ok()?;
    let unit = reader.u64().ok()?;
    let group = reader.u16_le().ok()?;
    let name = text::plain(reader.rest())?;
    let digest = |on: u16| if options & on != 0 { "CRC32C" } else { "None" };
    let method = match (options >> 10) & 3 {
        0 if options & 0x1000 != 0 => "CHAP_UNI",
        0 => "CHAP_BI",
        _ => "None",
    };
    let protocol = if protocol == 0 { "TCP".into() } else { format!("0x{protocol:X}") };
    Some(format!(
        "iSCSI({name},0x{group:X},0x{unit:016X},{},{},{method},{protocol})",
        digest(0x02),
        digest(0x08)
    ))
}

fn dns(reader: &mut Reader<'_>) -> Option<String> {
    let wide = reader.u8().ok()? != 0;
    let mut servers = String::new();
    while !reader.is_empty() {
        let octets = reader.array::<16>().ok()?;
        let comma = if servers.is_empty() { "" } else { "," };
        if wide {
            write!(servers, "{comma}{}", core::net::Ipv6Addr::from(octets)).ok()?;
        } else {
            let narrow: [u8; 4] = octets.get(..4)?.try_into().ok()?;
            write!(servers, "{comma}{}", core::net::Ipv4Addr::from(narrow)).ok()?;
        }
    }
    Some(format!("Dns({servers})"))
}

fn rest_service(reader: &mut Reader<'_>) -> Option<String> {
    let [service, access] = reader.array().ok()?;
    if service == 0xFF {
        let guid = Guid(reader.array().ok()?);
        return Some(format!("RestService({service},{access},{guid},{})", Hex(reader.rest())));
    }
    Some(format!("RestService({service},{access})"))
}

/// `00-25-38-81-`...
fn hyphened(octets: &[u8]) -> Option<String> {
    let mut text = String::new();
    for (place, octet) in octets.iter().enumerate() {
        let hyphen = if place == 0 { "" } else { "-" };
        write!(text, "{hyphen}{octet:02X}").ok()?;
    }
    Some(text)
}
