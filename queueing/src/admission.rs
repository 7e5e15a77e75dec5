//! Whether a host takes one more job: by the host agent's own policies.

use jlb_host_agent::admission::Gate;
use jlb_host_agent::config::Admission;

/// Which admission the hosts have.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Admits {
    /// Every job.
    Always,
    /// Fewer jobs than so many for each core: `SRc` of the SRLB paper.
    Threshold(f64),
    /// A threshold that each host moves by itself, so that about half of what is offered is taken:
    /// `SRdyn` of the SRLB paper.
    Adaptive,
}

impl Admits {
    /// A host's, which has so many cores.
    #[must_use]
    pub fn host(self, cores: f64) -> Gate {
        Gate::new(&match self {
            Self::Always => Admission::default(),
            Self::Threshold(each) => {
                #[allow(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a small positive number"
                )]
                let max = (each * cores).round() as u32;
                Admission::max_connections(max)
            }
            Self::Adaptive => Admission {
                adaptive: true,
                ..Admission::default()
            },
        })
    }
}
