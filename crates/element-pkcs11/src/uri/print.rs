//! [`Uri`] to text, in the order of RFC 7512 §2.3. What is printed parses to the same value.

use super::Uri;
use std::fmt::{self, Display, Formatter, Write};

impl Display for Uri {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("pkcs11:")?;
        let mut path = List { f, between: "", then: ";" };
        path.text("token", self.token.as_deref())?;
        path.text("manufacturer", self.manufacturer.as_deref())?;
        path.text("serial", self.serial.as_deref())?;
        path.text("model", self.model.as_deref())?;
        path.text("library-manufacturer", self.library_manufacturer.as_deref())?;
        path.text("library-description", self.library_description.as_deref())?;
        let version = self.library_version.map(|(major, minor)| format!("{major}.{minor}"));
        path.text("library-version", version.as_deref())?;
        path.text("object", self.object.as_deref())?;
        path.text("type", self.object_type.map(super::ObjectType::name))?;
        // RFC 7512 §2.3: the whole of an id should be percent-encoded.
        path.octets("id", self.id.as_deref(), |_| false)?;
        path.text("slot-description", self.slot_description.as_deref())?;
        path.text("slot-manufacturer", self.slot_manufacturer.as_deref())?;
        path.text("slot-id", self.slot_id.map(|id| id.to_string()).as_deref())?;
        let mut query = List { f, between: "?", then: "&" };
        let source = self.pin_source.as_ref().map(ToString::to_string);
        query.text("pin-source", source.as_deref())?;
        query.text("module-name", self.module_name.as_deref())?;
        query.text("module-path", self.module_path.as_deref())
    }
}

struct List<'a, 'b> {
    f: &'a mut Formatter<'b>,
    between: &'static str,
    then: &'static str,
}

impl List<'_, '_> {
    fn text(&mut self, name: &str, value: Option<&str>) -> fmt::Result {
        let query = self.then == "&";
        let plain = |byte: u8| {
            byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) || (query && byte == b'/')
        };
        self.octets(name, value.map(str::as_bytes), plain)
    }

    fn octets(
        &mut self,
        name: &str,
        value: Option<&[u8]>,
        plain: impl Fn(u8) -> bool,
    ) -> fmt::Result {
        let Some(value) = value else { return Ok(()) };
        write!(self.f, "{}{name}=", self.between)?;
        self.between = self.then;
        for &byte in value {
            if plain(byte) {
                self.f.write_char(char::from(byte))?;
            } else {
                write!(self.f, "%{byte:02X}")?;
            }
        }
        Ok(())
    }
}
