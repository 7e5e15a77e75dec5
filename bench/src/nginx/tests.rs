use super::*;

#[test]
fn a_prepared_directory_has_the_files_and_a_certificate() {
    assert!(
        find_program("openssl").is_some(),
        "needs openssl: run scripts/setup"
    );
    let directory = std::env::temp_dir().join(format!("jlb-nginx-test-{}", std::process::id()));
    prepare(&directory).unwrap();
    let path = configure(&directory, "host-1").unwrap();
    let configuration = fs::read_to_string(path).unwrap();
    let download = fs::read(directory.join(ROOT).join("bytes/100000")).unwrap();
    let large = fs::metadata(directory.join(ROOT).join("100MiB"))
        .unwrap()
        .len();
    let certificate = fs::read_to_string(directory.join(CERTIFICATE)).unwrap();
    fs::remove_dir_all(&directory).unwrap();
    assert!(configuration.contains("add_header x-host host-1 always;"));
    assert!(download.len() == 100_000 && content::matches(0, &download));
    assert_eq!(large, 104_857_600);
    assert!(certificate.starts_with("-----BEGIN CERTIFICATE-----"));
}
