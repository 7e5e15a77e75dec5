use super::*;
use crate::atlas::Atlas;
use crate::cluster::Cluster;
use crate::machine::Machine;

const WALKS: u64 = 60;
const STEPS: usize = 60;

/// Random numbers that are the same each time (Steele, Lea and Flood, "Fast splittable pseudorandom
/// number generators", 2014).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % u64::try_from(bound).unwrap()).unwrap()
    }
}

/// Everything that can happen, some of it often.
fn busy(case: &str) -> Case {
    let case = Case::named(case).unwrap();
    Case {
        syns: [3, 2],
        data: [2, 2],
        fins: 1,
        duplicates: 3,
        losses: 2,
        timers: [3, 3, 6],
        dumps: 2,
        ..case
    }
}

/// Walks at random, and beside it runs nodes of their own that nobody shares: what the atlas knows
/// of a state that was reached on another way has to be true of them.
fn walk_beside_the_atlas(case: Case, seed: u64) -> usize {
    let atlas = Atlas::new(Cluster::new(case).unwrap());
    let mut compared = 0;
    for walk in 0..WALKS {
        let mut dice = Dice(seed * 1000 + walk);
        let guide = Guide::new(&atlas);
        let mut world = World::begin(&guide);
        let own = |id| atlas.node(id).unwrap();
        let mut machines: Vec<_> = world.nodes.into_iter().map(own).collect();
        let mut actions = Vec::new();
        for _ in 0..STEPS {
            world.actions(&case, &mut actions);
            if actions.is_empty() {
                break;
            }
            let action = actions[dice.below(actions.len())];
            guide.asked.borrow_mut().clear();
            let Some(step) = world.next(&guide, action) else {
                continue;
            };
            let asked = guide.asked.borrow().clone();
            for (id, input) in asked {
                let outcome = guide.step(id, input).unwrap();
                if outcome.was_long {
                    continue;
                }
                compared += 1;
                let machine = &mut machines[atlas.node(id).unwrap().place.index()];
                let deeds = apply(&atlas, machine, input);
                assert_eq!(deeds, letters(&atlas, &outcome), "{action:?} {input:?}");
            }
            for (machine, id) in machines.iter().zip(step.world.nodes) {
                let known = atlas.node(id).unwrap();
                let words = || (machine.words(), known.words());
                let is_same = machine.fingerprint() == known.fingerprint();
                assert!(is_same, "{action:?}: {:#?}", words());
            }
            world = step.world;
        }
    }
    compared
}

fn apply(atlas: &Atlas, machine: &mut Machine, input: Input) -> Vec<Vec<u8>> {
    let letter = match input {
        Input::Message(id) => atlas.letter(id),
        _ => None,
    };
    let deeds = machine.handle(&atlas.cluster, input, letter.as_deref());
    deeds.letters.into_iter().map(|it| it.bytes).collect()
}

fn letters(atlas: &Atlas, outcome: &crate::atlas::Outcome) -> Vec<Vec<u8>> {
    let routes = outcome.letters.iter();
    let letters = routes.map(|sent| atlas.letter(sent.route.id).unwrap());
    letters.map(|letter| letter.bytes.clone()).collect()
}

#[test]
fn states_with_one_digest_behave_alike() {
    for (seed, case) in [
        "order",
        "full",
        "queue",
        "crash-primary",
        "crash-host",
        "crash-trackers",
    ]
    .into_iter()
    .enumerate()
    {
        println!("{case}");
        let compared = walk_beside_the_atlas(busy(case), seed as u64);
        assert!(compared > 1000, "{case}: only {compared} steps");
    }
}

#[test]
fn the_cluster_begins_at_rest() {
    let atlas = Atlas::new(Cluster::new(Case::named("losses").unwrap()).unwrap());
    let guide = Guide::new(&atlas);
    let world = World::begin(&guide);
    assert_eq!(world.letters(), []);
    for place in Place::all() {
        let outcome = guide.step(world.node(place), Input::Timer).unwrap();
        let is_quiet = outcome.was_long || outcome.node == world.node(place);
        assert!(is_quiet, "{} has something to do", place.name());
    }
}
