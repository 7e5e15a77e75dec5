//! The way to a state, step by step, for a person to follow.

use crate::atlas::{Atlas, Route};
use crate::cluster::Place;
use crate::guide::Guide;
use crate::search::Found;
use crate::words;
use crate::world::{Action, World};

/// A walk from the first state to one where something is wrong.
#[derive(Clone, Debug)]
pub struct Walk {
    /// What is wrong at its end.
    pub wrong: String,
    /// Its stations, the first state included.
    pub stations: Vec<Station>,
}

/// A state on a walk.
#[derive(Clone, Debug)]
pub struct Station {
    /// What has led here.
    pub action: String,
    /// Messages that were sent in it.
    pub sent: Vec<String>,
    /// Messages under way.
    pub under_way: Vec<String>,
    /// Each node and its state, then kernels and client.
    pub states: Vec<(&'static str, Vec<String>)>,
}

impl Walk {
    /// Goes the way again.
    pub(crate) fn of(atlas: &Atlas, found: &Found) -> Self {
        let guide = Guide::new(atlas);
        let mut world = World::begin(&guide);
        let mut stations = vec![station(atlas, &world, None, None)];
        for &action in &found.actions {
            let Some(step) = world.next(&guide, action) else {
                break;
            };
            stations.push(station(atlas, &step.world, Some(&world), Some(action)));
            world = step.world;
        }
        Self {
            wrong: found.words.clone(),
            stations,
        }
    }

    /// The walk as text: of each state what has changed.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut before: Option<&Station> = None;
        for (number, station) in self.stations.iter().enumerate() {
            text += &format!("{number:>3}. {}\n", station.action);
            for sent in &station.sent {
                text += &format!("        sends {sent}\n");
            }
            for (at, (name, lines)) in station.states.iter().enumerate() {
                let old = before.and_then(|before| before.states.get(at));
                let Some((_, old)) = old.filter(|(_, old)| old != lines) else {
                    continue;
                };
                let is_new = |line: &&String| !old.contains(line);
                for line in lines.iter().filter(is_new) {
                    text += &format!("        {name}: {line}\n");
                }
            }
            before = Some(station);
        }
        text += &format!("     {}\n", self.wrong);
        text
    }
}

fn station(
    atlas: &Atlas,
    world: &World,
    before: Option<&World>,
    action: Option<Action>,
) -> Station {
    let in_words = |route: &Route| {
        let letter = atlas.letter(route.id);
        letter.map_or_else(String::new, |letter| words::of_letter(&letter))
    };
    let letters = world.letters();
    let is_new = |letter: &&Route| before.is_some_and(|before| !before.letters().contains(letter));
    let nodes = Place::all().map(|place| (place.name(), words::of_node(atlas, world, place)));
    let mut states: Vec<_> = nodes.collect();
    states.push(("kernels and client", words::of_surroundings(world)));
    Station {
        action: action.map_or_else(
            || "the beginning".to_owned(),
            |action| words::of_action(atlas, action),
        ),
        sent: letters.iter().filter(is_new).map(in_words).collect(),
        under_way: letters.iter().map(in_words).collect(),
        states,
    }
}
