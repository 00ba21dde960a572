//! UEFI device paths, in the text form of the specification (UEFI 2.10 §10.3, §10.6.1).

mod acpi;
mod hardware;
mod media;
mod messaging;

use super::text;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use touchstone_wire::Reader;

/// A UEFI device path in its binary form (UEFI 2.10 §10.3); shown as text (§10.6.1) up to its end:
/// boot options have more behind it, which only their maker understands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DevicePath(pub Vec<u8>);

/// One node of a device path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node<'a> {
    /// Its type: 1 hardware, 2 ACPI, 3 messaging, 4 media, 5 BIOS boot, 0x7F an end.
    pub kind: u8,
    /// Its subtype.
    pub subtype: u8,
    /// What follows its header of four octets.
    pub body: &'a [u8],
}

/// The nodes of a device path in their order, ends included; stops where one has no sound length.
#[derive(Clone, Debug)]
pub struct Nodes<'a>(Reader<'a>);

impl DevicePath {
    /// The nodes.
    pub const fn nodes(&self) -> Nodes<'_> {
        Nodes(Reader::new(self.0.as_slice()))
    }

    /// The text of its file path nodes, one after another.
    pub fn file(&self) -> Option<String> {
        let mut file = String::new();
        for node in self.nodes().filter(|node| (node.kind, node.subtype) == (4, 4)) {
            file.push_str(&text::utf16(node.body)?);
        }
        (!file.is_empty()).then_some(file)
    }
}

impl<'a> Nodes<'a> {
    /// The octets behind the last node that could be read.
    pub fn rest(mut self) -> &'a [u8] {
        self.0.rest()
    }
}

impl<'a> Iterator for Nodes<'a> {
    type Item = Node<'a>;

    fn next(&mut self) -> Option<Node<'a>> {
        let mut ahead = self.0;
        let (kind, subtype) = (ahead.u8().ok()?, ahead.u8().ok()?);
        let len = usize::from(ahead.u16_le().ok()?).checked_sub(4)?;
        let body = ahead.take(len).ok()?;
        self.0 = ahead;
        Some(Node { kind, subtype, body })
    }
}

impl fmt::Display for DevicePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut nodes = self.nodes();
        let mut separator = "";
        for node in nodes.by_ref() {
            match (node.kind, node.subtype) {
                (0x7F, 0x01) => separator = ",",
                (0x7F, _) => return Ok(()),
                _ => {
                    write!(f, "{separator}{node}")?;
                    separator = "/";
                }
            }
        }
        if self.0.is_empty() {
            return f.write_str("(no path)");
        }
        match nodes.rest().len() {
            0 => Ok(()),
            octets => write!(f, "{separator}({octets} octets)"),
        }
    }
}

impl fmt::Display for Node<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = match self.kind {
            1 => hardware::node(self.subtype, self.body),
            2 => acpi::node(self.subtype, self.body),
            3 => messaging::node(self.subtype, self.body),
            4 => media::node(self.subtype, self.body),
            5 => media::bios(self.subtype, self.body),
            _ => None,
        };
        match known {
            Some(known) => f.write_str(&known),
            None => {
                write!(f, "Path({},{},{})", self.kind, self.subtype, Hex(self.body))
            }
        }
    }
}

/// Octets in hexadecimal.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}
