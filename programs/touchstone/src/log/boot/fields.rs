//! What an event says, as JSON: one member for each field that has a meaning.

use crate::answer::hex;
use serde_json::{Value, json};
use touchstone_measure::tcg::{
    Content, Description, Event, Gpt, LoadOption, Signature, SignatureDatabase, SpecId, tag_name,
};

pub(super) fn of(event: &Event, says: &Description) -> Value {
    match says {
        Description::SpecId(spec_id) => self::spec_id(spec_id),
        Description::StartupLocality(locality) => json!({ "startup_locality": locality }),
        Description::PlatformReference(reference) => json!({
            "form": reference.form, "vendor": reference.vendor,
            "manifest": reference.manifest.to_string(), "names": reference.names,
        }),
        Description::Variable { vendor, name, data } => json!({
            "vendor": vendor.to_string(), "name": name,
            "content": content(&Content::of(event.kind, *vendor, name, data)),
            "octets": hex(data),
        }),
        Description::Image { address, len, link_address, path } => json!({
            "address": address, "len": len, "link_address": link_address,
            "path": path.to_string(), "path_octets": hex(&path.0),
        }),
        Description::FirmwareBlob { name, base, len } => {
            json!({ "name": name, "base": base, "len": len })
        }
        Description::HandoffTables { name, tables } => {
            let tables = tables.iter().map(|table| {
                json!({ "guid": table.guid.to_string(), "name": table.guid.name(), "at": table.at })
            });
            json!({ "name": name, "tables": tables.collect::<Vec<_>>() })
        }
        Description::Gpt(gpt) => self::gpt(gpt),
        Description::DeviceSecurity(device) => json!({
            "version": device.version, "device": device.device,
            "authentication": device.authentication,
            "path": device.path.as_ref().map(ToString::to_string), "rest": hex(&device.rest),
        }),
        Description::Tagged { id, text } => {
            json!({ "tag": id, "tag_name": tag_name(*id), "text": text })
        }
        Description::Separator(value) => json!({ "separator": value }),
        Description::Guid(guid) => json!({ "guid": guid.to_string() }),
        Description::Signature(name) => json!({ "signature": name }),
        Description::Text(text) => match event.grub_command() {
            Some((kind, _)) => json!({ "text": text, "grub": kind }),
            None => json!({ "text": text }),
        },
        _ => Value::Null,
    }
}

fn spec_id(spec_id: &SpecId) -> Value {
    let (major, minor, errata) = spec_id.version;
    let banks = spec_id
        .banks
        .iter()
        .map(|bank| json!({ "id": bank.id, "name": bank.name(), "len": bank.len }));
    json!({
        "version": format!("{major}.{minor}"), "errata": errata, "uintn": spec_id.uintn,
        "platform_class": spec_id.platform_class, "banks": banks.collect::<Vec<_>>(),
        "vendor": spec_id.vendor.as_deref().map(hex),
    })
}

fn content(content: &Content) -> Value {
    match content {
        Content::Switch(on) => json!({ "on": on }),
        Content::Database(SignatureDatabase { entries }) => {
            json!({ "entries": entries.iter().map(entry).collect::<Vec<_>>() })
        }
        Content::Authority(signature) => json!({
            "owner": signature.owner.to_string(), "octets": hex(&signature.data),
        }),
        Content::Order(numbers) => {
            let names = numbers.iter().map(|number| format!("{number:04X}"));
            json!({ "order": names.collect::<Vec<_>>() })
        }
        Content::Option(number) => json!({ "option": format!("{number:04X}") }),
        Content::Load(option) => load(option),
        Content::Sbat(text) => json!({ "sbat": text }),
        _ => Value::Null,
    }
}

fn entry(signature: &Signature) -> Value {
    json!({
        "type": signature.kind.to_string(), "type_name": signature.kind.name(),
        "owner": signature.owner.to_string(), "owner_name": signature.owner.name(),
        "octets": hex(&signature.data),
    })
}

fn load(option: &LoadOption) -> Value {
    json!({
        "active": option.is_active(), "attributes": option.attributes,
        "description": option.description, "path": option.paths.to_string(),
        "optional": hex(&option.optional),
    })
}

fn gpt(gpt: &Gpt) -> Value {
    let partitions = gpt.partitions.iter().map(|partition| {
        json!({
            "type": partition.kind.to_string(), "guid": partition.guid.to_string(),
            "first": partition.blocks.0, "last": partition.blocks.1,
            "attributes": partition.attributes, "name": partition.name,
        })
    });
    json!({ "disk": gpt.disk.to_string(), "partitions": partitions.collect::<Vec<_>>() })
}
