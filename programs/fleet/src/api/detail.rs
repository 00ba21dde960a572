//! A device with everything that is known of it, for the API and the console alike.

use super::types::{Certificate, Control, DeviceDetail, Fact};
use crate::Error;
use crate::store::{Db, PendingList, Rules};

/// Rows of each kind.
const ROWS: u32 = 50;

/// What held once and was not shown again in time is not known now.
fn forget(control: &mut Control) {
    control.passed = false;
    "unknown".clone_into(&mut control.outcome);
    control.reason = format!("not shown any more in time; last: {}", control.reason);
}

/// A long IMA list that comes in parts.
fn under_way(list: PendingList) -> Fact {
    let PendingList { entries, octets, refused, .. } = list;
    let value = if refused {
        format!("too long after {entries} entries ({octets} octets): see `ima_list` in [limits]")
    } else {
        format!("{entries} entries ({octets} octets) so far; none counts before its end has come")
    };
    Fact { label: "IMA list on its way".into(), value }
}

/// The device of that id.
pub(crate) fn device(db: &mut Db, id: &str, rules: Rules) -> Result<Option<DeviceDetail>, Error> {
    let (Some(row), Some(summary)) = (db.device(id)?, db.device_summary(id, rules)?) else {
        return Ok(None);
    };
    let result = db.latest_result(id)?;
    let (vector, mut controls, mut evidence) =
        result.map_or_else(Default::default, |last| (last.vector, last.controls, last.evidence));
    if summary.stale {
        controls.iter_mut().filter(|control| control.passed).for_each(forget);
    }
    controls.sort_by_key(|control| control.passed);
    evidence.extend(db.kept(id)?.pending.map(under_way));
    Ok(Some(DeviceDetail {
        summary,
        identity: row.identity,
        vector,
        controls,
        evidence,
        certificates: db
            .certificates_of(id, ROWS, rules.now)?
            .into_iter()
            .map(Certificate::from)
            .collect(),
        orders: db.orders_of(id, ROWS)?,
        events: db.newest_events(Some(id), ROWS)?,
    }))
}
