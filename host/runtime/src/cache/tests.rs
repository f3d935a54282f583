//! What the cache gives back: what it was given, and nothing that anybody touched since.
//! No job is run.

use super::*;

const COMPONENT: &[u8] = b"(component (core module (func (export \"f\") (result i32) i32.const 7)))";

fn engine() -> Engine {
    Engine::default()
}

fn cache_in(directory: &Path, engine: &Engine) -> CodeCache {
    let settings = CacheSettings { directory: directory.join("cache"), fresh_key: [7; KEY] };
    CodeCache::open(settings, engine).expect("usable")
}

fn version(number: u8) -> Version {
    Version::of(&[number])
}

fn code(engine: &Engine) -> Code {
    let component = wat::parse_bytes(COMPONENT).expect("a component");
    Code::compiled(engine.precompile_component(&component).expect("compiled"))
}

fn has_code(cache: &CodeCache, version: Version) -> bool {
    matches!(cache.find(version), Some(Found::Code(_)))
}

#[test]
fn code_is_found_again_after_a_restart() {
    let (directory, engine) = (tempfile::tempdir().expect("a directory"), engine());
    cache_in(directory.path(), &engine).keep(version(1), &code(&engine));
    // The key is the directory's, whatever a later start would have taken.
    let settings = CacheSettings { directory: directory.path().join("cache"), fresh_key: [8; KEY] };
    let cache = CodeCache::open(settings, &engine).expect("usable");
    let Some(Found::Code(found)) = cache.find(version(1)) else { panic!("it is kept") };
    assert!(found.load(&engine).is_ok());
    assert!(cache.find(version(2)).is_none());
}

#[test]
fn whatever_was_changed_is_not_taken_and_gone() {
    let (directory, engine) = (tempfile::tempdir().expect("a directory"), engine());
    let cache = cache_in(directory.path(), &engine);
    let path = cache.path(version(1), Kind::Code);
    let whole = |change: &dyn Fn(&mut Vec<u8>)| {
        cache.keep(version(1), &code(&engine));
        let mut bytes = fs::read(&path).expect("kept");
        change(&mut bytes);
        fs::write(&path, bytes).expect("written");
        assert!(!has_code(&cache, version(1)));
        assert!(!path.exists());
    };
    whole(&|bytes| bytes[0] ^= 1);
    whole(&|bytes| *bytes.last_mut().expect("bytes") ^= 1);
    whole(&|bytes| bytes.truncate(bytes.len() / 2));
    whole(&|bytes| bytes.truncate(5));
    whole(&Vec::clear);
    whole(&|bytes| bytes.push(0));
}

#[test]
fn a_file_counts_only_under_its_own_name() {
    let (directory, engine) = (tempfile::tempdir().expect("a directory"), engine());
    let cache = cache_in(directory.path(), &engine);
    cache.keep(version(1), &code(&engine));
    fs::copy(cache.path(version(1), Kind::Code), cache.path(version(2), Kind::Code)).expect("copied");
    fs::copy(cache.path(version(1), Kind::Code), cache.path(version(3), Kind::Refusal)).expect("copied");
    assert!(cache.find(version(2)).is_none() && cache.find(version(3)).is_none());
    assert!(has_code(&cache, version(1)));
}

#[test]
fn code_under_another_key_is_not_taken() {
    let (directory, engine) = (tempfile::tempdir().expect("a directory"), engine());
    cache_in(directory.path(), &engine).keep(version(1), &code(&engine));
    fs::write(directory.path().join("cache/key"), [9; KEY]).expect("written");
    assert!(!has_code(&cache_in(directory.path(), &engine), version(1)));
}

#[test]
fn a_key_that_others_can_read_is_replaced() {
    let (directory, engine) = (tempfile::tempdir().expect("a directory"), engine());
    cache_in(directory.path(), &engine).keep(version(1), &code(&engine));
    let key = directory.path().join("cache/key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("changed");
    let settings = CacheSettings { directory: directory.path().join("cache"), fresh_key: [8; KEY] };
    let cache = CodeCache::open(settings, &engine).expect("usable");
    assert!(!has_code(&cache, version(1)));
    assert_eq!(fs::read(&key).expect("there"), [8; KEY]);
}

#[test]
fn links_and_foreign_files_are_not_taken() {
    let (directory, engine) = (tempfile::tempdir().expect("a directory"), engine());
    let cache = cache_in(directory.path(), &engine);
    cache.keep(version(1), &code(&engine));
    let (path, elsewhere) = (cache.path(version(1), Kind::Code), directory.path().join("elsewhere"));
    fs::rename(&path, &elsewhere).expect("moved");
    std::os::unix::fs::symlink(&elsewhere, &path).expect("linked");
    assert!(!has_code(&cache, version(1)));
    assert!(elsewhere.exists() && !path.exists());
    cache.keep(version(1), &code(&engine));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o622)).expect("changed");
    assert!(!has_code(&cache, version(1)));
}

#[test]
fn the_directory_is_made_private_and_must_be_one() {
    let (directory, engine) = (tempfile::tempdir().expect("a directory"), engine());
    let path = directory.path().join("cache");
    fs::create_dir(&path).expect("made");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).expect("changed");
    cache_in(directory.path(), &engine);
    assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o700);
    let link = directory.path().join("link");
    std::os::unix::fs::symlink(&path, &link).expect("linked");
    let refused = CodeCache::open(CacheSettings { directory: link, fresh_key: [0; KEY] }, &engine).err();
    assert!(refused.is_some_and(|error| error.to_string().contains("a link")));
}

#[test]
fn other_settings_of_the_engine_have_code_of_their_own() {
    let (directory, engine) = (tempfile::tempdir().expect("a directory"), engine());
    cache_in(directory.path(), &engine).keep(version(1), &code(&engine));
    let mut config = wasmtime::Config::new();
    config.epoch_interruption(true);
    let other = Engine::new(&config).expect("an engine");
    assert!(!has_code(&cache_in(directory.path(), &other), version(1)));
    assert!(has_code(&cache_in(directory.path(), &engine), version(1)));
}

#[test]
fn a_refusal_is_remembered_for_its_bytes_alone() {
    let (directory, engine) = (tempfile::tempdir().expect("a directory"), engine());
    cache_in(directory.path(), &engine).keep_refusal(version(1), "can't be compiled: no");
    let cache = cache_in(directory.path(), &engine);
    assert!(matches!(cache.find(version(1)), Some(Found::Refused(reason)) if reason == "can't be compiled: no"));
    assert!(cache.find(version(2)).is_none());
    cache.forget(version(1));
    assert!(cache.find(version(1)).is_none());
}

#[test]
fn what_was_used_longest_ago_makes_room() {
    let (directory, engine) = (tempfile::tempdir().expect("a directory"), engine());
    let cache = cache_in(directory.path(), &engine);
    for number in 0..=u16::try_from(limits::REFUSED_FILES).expect("few") {
        cache.keep_refusal(Version::of(&number.to_le_bytes()), "no");
        // It is asked for again and again.
        assert!(cache.find(Version::of(&0_u16.to_le_bytes())).is_some());
    }
    let files = fs::read_dir(directory.path().join("cache")).expect("there").count();
    assert_eq!(files, limits::REFUSED_FILES + 1, "with the key");
    assert!(cache.find(Version::of(&1_u16.to_le_bytes())).is_none());
}

#[test]
fn what_was_never_finished_is_removed_and_what_is_not_ours_stays() {
    let (directory, engine) = (tempfile::tempdir().expect("a directory"), engine());
    let cache = cache_in(directory.path(), &engine);
    let at = |name: &str| directory.path().join("cache").join(name);
    fs::create_dir_all(at("modules/x")).expect("made");
    for name in ["a.code.new", "a.refused.new", "notes", "notes.new"] {
        fs::write(at(name), "half").expect("written");
    }
    cache.keep_refusal(version(1), "no");
    assert!(!at("a.code.new").exists() && !at("a.refused.new").exists());
    assert!(at("modules/x").exists() && at("notes").exists() && at("notes.new").exists());
}
