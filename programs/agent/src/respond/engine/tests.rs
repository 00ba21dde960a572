//! The interlocks hold. What does things is replaced by a list of what it was told to do: the real
//! hands are tested where they are.

use super::*;
use crate::respond::assets;

const SAFETY: &str =
    r#"{ "schema": "touchstone.assets/1", "safety": { "units": ["sis.service"] } }"#;

#[derive(Default)]
struct List {
    did: Vec<String>,
    told: Vec<String>,
    fails: bool,
}

impl Hands for List {
    fn preview(&self, action: Action, target: &Target) -> String {
        format!("would {action} {target}")
    }

    fn apply(&mut self, response: &Response) -> Result<Done, super::super::Error> {
        if self.fails {
            return Err(super::super::Error::Gone { pid: 7 });
        }
        self.did.push(response.action.to_string());
        Ok(Done { words: "done".into(), before: Some("/".into()) })
    }

    fn undo(&mut self, response: &Response) -> Result<String, super::super::Error> {
        if self.fails {
            return Err(super::super::Error::NoGroups);
        }
        self.did.push(format!("undo {}", response.action));
        Ok("as before".into())
    }

    fn renew(&mut self, response: &Response) -> Result<(), super::super::Error> {
        self.did.push(format!("renew {}", response.action));
        Ok(())
    }

    fn token(&mut self) -> Result<String, super::super::Error> {
        Ok(format!("token-{}", self.did.len()))
    }

    fn tell(&mut self, response: &Response, approver: Option<&str>) {
        let stage = response.stage.name();
        self.told.push(approver.map_or_else(|| stage.to_owned(), |name| format!("by {name}")));
    }
}

struct World {
    engine: Engine,
    state: State,
    hands: List,
    care: Care,
    _folder: tempfile::TempDir,
}

impl World {
    fn new(change: impl FnOnce(&mut Care)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(folder.path()).unwrap();
        let mut care = Care {
            allowed: Action::ALL.to_vec(),
            trial: Duration::ZERO,
            dead_man: Duration::from_mins(10),
            limit: Limit { burst: 2, every: Duration::from_mins(1) },
        };
        change(&mut care);
        let engine = Engine::load(&state, care.clone()).unwrap();
        Self { engine, state, hands: List::default(), care, _folder: folder }
    }

    fn obey(&mut self, orders: &[Order], assets: &Assets, now: u64) -> Vec<Stage> {
        self.engine.obey(orders.to_vec(), assets, &mut self.hands, now).unwrap();
        self.engine.responses().iter().map(|it| it.stage).collect()
    }

    fn did(&mut self) -> Vec<String> {
        std::mem::take(&mut self.hands.did)
    }
}

fn order(action: Action, unit: &str) -> Order {
    let target =
        Target::Process { pid: 7, start: 1, program: "/p".into(), unit: Some(unit.to_owned()) };
    let (control, reason, policy) = ("code".into(), "patched".into(), "plant/1".into());
    Order { action, target, control, reason, policy }
}

fn approver(key: &str) -> Approver {
    Approver { key: key.to_owned(), name: key.to_owned() }
}

#[test]
fn a_countermeasure_is_taken_once_renewed_and_taken_back_by_a_good_verdict() {
    let mut world = World::new(|_| {});
    let freeze = [order(Action::Freeze, "a.service")];
    assert_eq!(world.obey(&freeze, &Assets::none(), 100), [Stage::Applied]);
    assert_eq!(world.obey(&freeze, &Assets::none(), 130), [Stage::Applied]);
    assert_eq!(world.did(), ["freeze", "renew freeze"]);
    let it = &world.engine.responses()[0];
    assert_eq!(
        (it.until, it.preview.as_str()),
        (Some(730), "would freeze process 7 (/p) of a.service")
    );
    assert!(it.undo.is_some());
    assert!(world.engine.relent(&mut world.hands, 140).unwrap());
    assert_eq!(world.did(), ["undo freeze"]);
    assert_eq!(world.engine.responses()[0].stage, Stage::Undone);
    assert_eq!(world.hands.told, ["applied", "undone"]);
}

#[test]
fn a_safety_unit_only_ever_gets_an_alert_without_two_people() {
    let mut world = World::new(|_| {});
    let safety = assets::of(SAFETY);
    let orders = [order(Action::Alert, "sis.service"), order(Action::StopUnit, "sis.service")];
    assert_eq!(world.obey(&orders, &safety, 1), [Stage::Done, Stage::Waiting]);
    assert_eq!(world.did(), ["alert"]);
    let id = world.engine.responses()[1].id.clone();
    let World { engine, hands, .. } = &mut world;
    assert_eq!(engine.approve(&id, &approver("a"), hands, 2).unwrap().stage, Stage::Waiting);
    let twice = engine.approve(&id, &approver("a"), hands, 3).unwrap_err();
    assert_eq!(twice.code(), "agent.respond.twice");
    assert!(hands.did.is_empty());
    assert_eq!(engine.approve(&id, &approver("b"), hands, 4).unwrap().stage, Stage::Applied);
    assert_eq!(hands.did, ["stop-unit"]);
    assert_eq!(hands.told, ["done", "waiting", "by a", "by b", "applied"]);
    let over = engine.approve(&id, &approver("c"), hands, 5).unwrap_err();
    assert_eq!(over.code(), "agent.respond.stage");
}

#[test]
fn a_list_that_is_not_believed_keeps_everything_from_harm() {
    let mut world = World::new(|_| {});
    let unknown = Assets::unknown("forged".into());
    let stages = world.obey(&[order(Action::Freeze, "web.service")], &unknown, 1);
    assert_eq!(stages, [Stage::Waiting]);
    assert!(world.did().is_empty());
}

#[test]
fn a_new_policy_is_only_tried_at_first() {
    let mut world = World::new(|care| care.trial = Duration::from_mins(10));
    let stop = [order(Action::StopUnit, "a.service")];
    assert_eq!(world.obey(&stop, &Assets::none(), 1000), [Stage::Previewed]);
    assert_eq!(world.obey(&stop, &Assets::none(), 1500), [Stage::Previewed], "told once");
    assert!(world.did().is_empty());
    // An agent that was started anew does not begin the trial anew.
    world.engine = Engine::load(&world.state, world.care.clone()).unwrap();
    assert_eq!(world.obey(&stop, &Assets::none(), 1600), [Stage::Previewed, Stage::Applied]);
    assert_eq!(world.did(), ["stop-unit"]);
}

#[test]
fn too_many_in_a_short_time_are_refused_and_tried_again_later() {
    let mut world = World::new(|_| {});
    let orders: Vec<_> =
        ["a", "b", "c"].iter().map(|it| order(Action::Freeze, &format!("{it}.service"))).collect();
    let stages = world.obey(&orders, &Assets::none(), 100);
    assert_eq!(stages, [Stage::Applied, Stage::Applied, Stage::Refused]);
    let stages = world.obey(&orders, &Assets::none(), 161);
    assert_eq!(stages, [Stage::Applied; 3], "under the same number");
}

#[test]
fn what_nobody_asks_for_any_more_ends_by_itself() {
    let mut world = World::new(|_| {});
    world.obey(&[order(Action::Freeze, "a.service")], &Assets::none(), 100);
    assert!(!world.engine.tick(&mut world.hands, 699).unwrap());
    world.hands.fails = true;
    assert!(!world.engine.tick(&mut world.hands, 700).unwrap(), "it stays and is tried again");
    world.hands.fails = false;
    assert!(world.engine.tick(&mut world.hands, 705).unwrap());
    assert_eq!(world.engine.responses()[0].stage, Stage::Reverted);
    assert_eq!(world.did(), ["freeze", "undo freeze"]);
}

#[test]
fn a_person_takes_it_back_by_number_or_token_and_only_once() {
    let mut world = World::new(|_| {});
    world.obey(&[order(Action::Freeze, "a.service")], &Assets::none(), 1);
    let token = world.engine.responses()[0].undo.clone().unwrap();
    let World { engine, hands, .. } = &mut world;
    assert_eq!(engine.undo("r9", hands, 2).unwrap_err().code(), "agent.respond.unknown");
    assert_eq!(engine.undo(&token, hands, 2).unwrap().stage, Stage::Undone);
    assert_eq!(engine.undo("r1", hands, 3).unwrap_err().code(), "agent.respond.stage");
}

#[test]
fn what_the_device_does_not_allow_is_not_even_considered() {
    let mut world = World::new(|care| care.allowed = vec![Action::Alert]);
    let orders = [order(Action::KillUnit, "a.service"), order(Action::Alert, "a.service")];
    assert_eq!(world.obey(&orders, &Assets::none(), 1), [Stage::Done]);
    assert_eq!(world.did(), ["alert"]);
}

#[test]
fn an_agent_that_was_killed_in_between_can_still_take_it_back() {
    let mut world = World::new(|_| {});
    world.obey(&[order(Action::Freeze, "a.service")], &Assets::none(), 1);
    let mut journal = Journal::load(&world.state).unwrap();
    journal.responses[0].stage = Stage::Begun;
    journal.store(&world.state).unwrap();
    world.engine = Engine::load(&world.state, world.care.clone()).unwrap();
    assert_eq!(world.engine.responses()[0].stage, Stage::Applied);
    assert!(world.engine.relent(&mut world.hands, 2).unwrap());
}

#[test]
fn what_can_not_be_done_is_told_and_tried_again_under_its_number() {
    let mut world = World::new(|_| {});
    world.hands.fails = true;
    let freeze = [order(Action::Freeze, "a.service")];
    assert_eq!(world.obey(&freeze, &Assets::none(), 1), [Stage::Failed]);
    assert!(world.engine.responses()[0].outcome.contains("agent.respond.gone"));
    world.hands.fails = false;
    assert_eq!(world.obey(&freeze, &Assets::none(), 2), [Stage::Applied]);
}
