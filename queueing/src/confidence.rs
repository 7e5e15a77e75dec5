//! How sure a figure is that several runs gave.

/// A mean over independent runs, and how far the true one may be from it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Estimate {
    /// The mean of the runs.
    pub mean: f64,
    /// Half of the 95 % confidence interval, by Student's t distribution; 0 of a single run.
    pub half_width: f64,
}

/// The 97.5 % quantile of Student's t distribution with 1, 2, ... degrees of freedom.
const STUDENT: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
    2.052, 2.048, 2.045, 2.042,
];
/// The same with very many.
const NORMAL: f64 = 1.960;

/// What independent runs say together.
#[must_use]
pub fn estimate(runs: &[f64]) -> Estimate {
    let count = u32::try_from(runs.len()).unwrap_or(u32::MAX).max(1);
    let mean = runs.iter().sum::<f64>() / f64::from(count);
    let Some(freedom) = runs.len().checked_sub(2) else {
        return Estimate {
            mean,
            half_width: 0.0,
        };
    };
    let squares: f64 = runs.iter().map(|run| (run - mean).powi(2)).sum();
    let deviation = (squares / f64::from(count - 1)).sqrt();
    let quantile = STUDENT.get(freedom).copied().unwrap_or(NORMAL);
    Estimate {
        mean,
        half_width: quantile * deviation / f64::from(count).sqrt(),
    }
}

#[cfg(test)]
mod tests;
