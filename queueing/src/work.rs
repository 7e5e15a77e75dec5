//! How much work jobs bring: of mean 1 in every case.

use rand::rngs::SmallRng;
use rand::{Rng, RngExt};
use rand_distr::{Distribution, Exp1};

/// How the work of jobs is distributed.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Work {
    /// Exponential: the SRLB paper's setting.
    Exponential,
    /// Hyperexponential with balanced means: a few jobs are much longer than the others.
    Hyperexponential {
        /// Variance over the square of the mean, above 1.
        squared_variation: f64,
    },
    /// Bounded Pareto: heavy-tailed, as the sizes of web objects are (Harchol-Balter, 2013, chapter 20).
    BoundedPareto {
        /// The tail's exponent, above 1.
        exponent: f64,
        /// The largest work over the smallest.
        span: f64,
    },
}

impl Work {
    /// One job's work.
    pub(crate) fn draw(self, chance: &mut SmallRng) -> f64 {
        match self {
            Self::Exponential => exponential(chance),
            Self::Hyperexponential { squared_variation } => {
                let apart = ((squared_variation - 1.0) / (squared_variation + 1.0)).sqrt();
                let short = f64::midpoint(1.0, apart);
                let is_short = chance.random::<f64>() < short;
                let share = if is_short { short } else { 1.0 - short };
                exponential(chance) / (2.0 * share)
            }
            Self::BoundedPareto { exponent, span } => {
                let cut = span.powf(-exponent);
                let smallest =
                    (1.0 - cut) * (exponent - 1.0) / (exponent * (1.0 - span.powf(1.0 - exponent)));
                let place: f64 = chance.random();
                smallest * (1.0 - place * (1.0 - cut)).powf(-1.0 / exponent)
            }
        }
    }
}

/// Exponential with mean 1.
pub(crate) fn exponential(chance: &mut impl Rng) -> f64 {
    Exp1.sample(chance)
}

#[cfg(test)]
mod tests;
