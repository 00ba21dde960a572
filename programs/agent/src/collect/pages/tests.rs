use super::*;
use crate::tests::Victim;

fn scanner(victim: &Victim) -> Scanner {
    Scanner::new(Scope::Processes(vec![victim.pid()]), Duration::from_mins(10), 1)
}

fn told(look: &Look) -> Vec<(Kind, &str)> {
    look.findings.iter().map(|it| (it.kind, it.path.as_str())).collect()
}

#[test]
fn an_honest_process_is_found_to_be_whole_by_new_ways_and_old() {
    let victim = Victim::start();
    for mut scanner in [scanner(&victim), scanner(&victim).by_old_ways()] {
        let look = scanner.look().unwrap();
        assert_eq!(told(&look), []);
        assert_eq!(look.processes, 1);
        let own = look.mapped.iter().find(|it| it.path == victim.path).unwrap();
        let file = File::open(&victim.path).unwrap();
        assert_eq!(own.digest, super::super::files::digest(file).unwrap());
    }
}

#[test]
fn a_patched_page_is_told_with_its_place_and_both_octets() {
    let victim = Victim::start();
    victim.patch(b"\x5a");
    for mut scanner in [scanner(&victim), scanner(&victim).by_old_ways()] {
        let look = scanner.look().unwrap();
        let path = victim.path.to_str().unwrap();
        assert_eq!(told(&look), [(Kind::Patched, path)]);
        let finding = &look.findings[0];
        assert_eq!((finding.pid, finding.process.as_str()), (victim.pid(), path));
        assert!(finding.why.contains("is 0x5a, the file says 0x"), "{}", finding.why);
    }
}

#[test]
fn breakpoints_are_told_apart_from_patches() {
    let victim = Victim::start();
    victim.patch(BREAKPOINT);
    let look = scanner(&victim).look().unwrap();
    assert_eq!(told(&look), [(Kind::Breakpoint, victim.path.to_str().unwrap())]);
    assert!(look.findings[0].why.contains("nobody tells whose"), "{look:?}");
}

#[test]
fn probes_are_read_as_tracefs_lists_them() {
    let list = "p:uprobes/p_sh_0x10 /bin/sh:0x0000000000000010\np:a/b /x y:0x1(ref) arg=%ax\nzz\n";
    let mut found = uprobes(list);
    assert_eq!(found.next(), Some((Path::new("/bin/sh"), 0x10)));
    assert_eq!(found.next(), None);
}

#[test]
fn preloads_are_read_as_the_loader_reads_them() {
    let expected = ["/a.so", "b.so", "/c.so"].map(PathBuf::from);
    assert_eq!(names(b"/a.so:b.so  /c.so\n"), expected);
    assert!(names(b" : ").is_empty());
}

#[test]
fn a_file_that_was_written_to_in_place_is_read_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("library");
    let code = fs::read("/usr/bin/sleep").unwrap();
    fs::write(&path, &code).unwrap();
    let victim = Victim::mapping(&path);
    let mut scanner = scanner(&victim);
    let digest = |look: &Look| look.mapped.iter().find(|it| it.path == path).unwrap().digest;
    let before = digest(&scanner.look().unwrap());
    assert!(before.is_some());
    assert_eq!(digest(&scanner.look().unwrap()), before);
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    std::os::unix::fs::FileExt::write_at(&file, b"x", 4096).unwrap();
    // No page became private, so that only the file's own digest tells.
    let look = scanner.look().unwrap();
    assert_eq!(told(&look), []);
    assert_ne!(digest(&look), before);
}
