//! The laws of every engine, for a stream.

use super::pair::{Pair, START, Talker};
use super::pki::{self, Authority};
use crate::{ClientAuth, Error, ServerName, Session};
use touchstone_sim::laws;

#[test]
fn a_one_byte_buffer_changes_nothing() {
    let ca = Authority::new();
    let client = pki::client(&ca.roots()).identity(ca.identity("device")).build().unwrap();
    let auth = ClientAuth::Required(ca.roots());
    let server = pki::server(ca.identity("fleet.example"), auth).build().unwrap();
    let name = ServerName::parse("fleet.example").unwrap();
    let pair = || {
        let client = Talker::new(Session::client(&client, &name).unwrap());
        (client, Talker::new(Session::server(&server).unwrap()))
    };
    laws::one_byte_buffer(&pair, &mut |_, _, _| unreachable!("a session asks nothing"));
}

#[test]
fn closed_is_final() {
    for good in [true, false] {
        let mut pair = Pair::simple().run();
        if good {
            pair.client.session.close();
            pair.server.session.close();
        } else {
            pair.client.session.end_of_wire();
        }
        let pair = pair.run();
        assert_eq!(pair.client.end.unwrap().is_ok(), good);
        laws::closed_is_final(pair.client.session, START);
    }
}

#[test]
fn a_stale_ticket_is_ignored() {
    let mut pair = Pair::simple().run();
    laws::stale_ticket_is_ignored(&mut pair.client.session, START);
    laws::stale_ticket_is_ignored(&mut pair.server.session, START);
}

#[test]
fn noise_never_panics_and_ends_the_session() {
    laws::noise_ends_a_stream(&|| Pair::simple().client.session, 0..40);
    laws::noise_ends_a_stream(&|| Pair::simple().server.session, 0..40);
    laws::noise_ends_a_stream(&|| Pair::simple().run().client.session, 0..40);
    laws::noise_ends_a_stream(&|| Pair::simple().run().server.session, 0..40);
}

#[test]
fn a_hello_cut_short_anywhere_is_truncated() {
    let hello = Pair::simple().client.turn();
    for cut in 0..hello.len() {
        let mut server = Pair::simple().server;
        server.hear(&hello[..cut]);
        server.session.end_of_wire();
        server.turn();
        assert_eq!(server.end, Some(Err(Error::Truncated)), "cut at {cut}");
    }
}
