use super::*;
use rand::SeedableRng;

#[test]
fn every_work_has_mean_one_and_the_variation_that_it_says() {
    let heavy = Work::BoundedPareto {
        exponent: 1.5,
        span: 1_000.0,
    };
    let few_long = Work::Hyperexponential {
        squared_variation: 10.0,
    };
    for (work, expected) in [
        (Work::Exponential, 1.0),
        (few_long, 10.0),
        // By its second moment: exponent / (2 - exponent) * smallest^1.5 * largest^0.5 ...
        (heavy, 9.8),
    ] {
        let mut chance = SmallRng::seed_from_u64(1);
        let count = 2_000_000;
        let drawn: Vec<f64> = (0..count).map(|_| work.draw(&mut chance)).collect();
        let mean = drawn.iter().sum::<f64>() / f64::from(count);
        let squares = drawn.iter().map(|work| work * work).sum::<f64>() / f64::from(count);
        let variation = squares / (mean * mean) - 1.0;
        println!("{work:?}: mean {mean:.4}, squared variation {variation:.3}");
        assert!((mean - 1.0).abs() < 0.01, "{work:?}: {mean}");
        assert!(
            (variation / expected - 1.0).abs() < 0.1,
            "{work:?}: {variation}"
        );
    }
}
