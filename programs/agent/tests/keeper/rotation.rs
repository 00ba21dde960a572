//! `rotate-key`: the key is given up, and the device is never without an identity.

use super::*;

impl World {
    /// Gets a certificate of the fleet; the key it is for.
    fn enrols(&self) -> Vec<u8> {
        let request = self.request(false);
        let chain = self.issue(request.spki_der());
        assert_eq!(self.keeper.answer(Ask::Certificate(chain)), Reply::Done);
        request.spki_der().to_vec()
    }
}

#[test]
fn a_key_is_rotated_and_the_maker_s_identity_is_there_meanwhile() {
    let world = World::watching("actions = [\"rotate-key\"]\nevery = \"1s\"");
    let pump = Pump::start(&world);
    let mut before = world.enrols();
    for round in 0..3 {
        world.authenticates(Key::Fleet, &before, 32);
        world.condemn_for(&format!("round {round}: {}", pump.reason()), &["rotate-key"]);
        let last = world.responses().pop().unwrap();
        assert_eq!((last.action.name(), last.stage), ("rotate-key", Stage::Done), "{last:?}");
        assert_eq!(last.undo, None, "a key that was given up does not come back");

        // The old key signs nothing any more; the maker's identity still does.
        let sign = Ask::Sign { key: Key::Fleet, message: handshake("client", 32) };
        assert!(matches!(world.keeper.answer(sign), Reply::Refused(_)));
        assert_eq!(world.standing().serial, None);
        world.authenticates(Key::Maker, &world.maker_key, 32);

        let after = world.enrols();
        assert_ne!(after, before);
        world.authenticates(Key::Fleet, &after, 32);
        before = after;
    }
    // An agent that starts anew finds the last one, and no other key in the element.
    let World { keeper, config, tpm, maker_key, .. } = world;
    drop(keeper);
    let keeper = taken_up(&config);
    for (key, spki) in [(Key::Fleet, &before), (Key::Maker, &maker_key)] {
        let message = handshake("client", 32);
        let Reply::Bytes(signature) = keeper.answer(Ask::Sign { key, message: message.clone() })
        else {
            panic!("no signature by {key:?}")
        };
        AwsLc.verify(P256, spki, &message, &signature).unwrap();
    }
    drop(keeper);
    let mut element =
        Tpm::connect_unix(tpm.socket(), tpm.dir.path().join("agent/element")).unwrap();
    let kept = ["ldevid-a", "ldevid-b"].into_iter().filter(|name| {
        touchstone_element::Element::public_key(&mut element, name).unwrap().is_some()
    });
    assert_eq!(kept.count(), 1);
    drop(pump);
}
