use super::*;

#[test]
fn arrivals_are_a_poisson_process_of_the_load_that_is_asked_for() {
    let cluster = Cluster::srlb(0.75);
    let count = 200_000_u32;
    let jobs: Vec<Arrival> = cluster.arrivals().take(200_000).collect();
    let lasted = jobs[jobs.len() - 1].at;
    let work: f64 = jobs.iter().map(|job| job.work).sum();
    let load = work / (lasted * cluster.capacity());
    assert!((load - 0.75).abs() < 0.01, "{load}");
    // Gaps of a Poisson process: the variance is the square of the mean.
    let mean = lasted / f64::from(count);
    let squares: f64 = jobs
        .windows(2)
        .map(|pair| (pair[1].at - pair[0].at).powi(2))
        .sum();
    let variation = squares / f64::from(count) / (mean * mean) - 1.0;
    assert!((variation - 1.0).abs() < 0.05, "{variation}");
}

#[test]
fn another_seed_gives_others() {
    let of = |seed| Cluster {
        seed,
        ..Cluster::srlb(0.75)
    };
    let first = |seed| of(seed).arrivals().next();
    assert_eq!(first(1), first(1));
    assert_ne!(first(1), first(2));
}
