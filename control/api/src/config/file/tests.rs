//! Tests of configuration files: places and carets, several files as one, any text.

use proptest::prelude::*;

use super::*;

fn sources_of(texts: &[(&str, &str)]) -> Vec<Source> {
    let source = |(name, text): &(&str, &str)| Source {
        name: (*name).to_owned(),
        text: (*text).to_owned(),
    };
    texts.iter().map(source).collect()
}

fn wrong(texts: &[(&str, &str)]) -> String {
    parse(&sources_of(texts))
        .expect_err("a wrong configuration")
        .to_string()
}

/// interfaces.md §5: what an operator sees.
#[test]
fn an_error_shows_object_place_line_caret_and_help() {
    let said = wrong(&[(
        "/etc/vswitch/vswitch.toml",
        "[bridge.mgmt-br]\n\n[port.vm1]\nbridge = \"mgmt-bro\"\nkind = \"tap\"\nvlan = 5000\nlerning = false\n",
    )]);
    let expected = r#"
error: port "vm1": unknown key "lerning"
 --> /etc/vswitch/vswitch.toml:7:1
  |
7 | lerning = false
  | ^^^^^^^
  |
  = help: did you mean "learning"?"#;
    assert_eq!(said, expected.trim_start());
    let said = wrong(&[(
        "a.toml",
        "[bridge.mgmt-br]\n\n[port.vm1]\nbridge = \"mgmt-bro\"\nkind = \"tap\"\nvlan = 5000\n",
    )]);
    let expected = r#"
error: port "vm1": there is no bridge "mgmt-bro"
 --> a.toml:4:10
  |
4 | bridge = "mgmt-bro"
  |          ^^^^^^^^^^
  |
  = help: did you mean "mgmt-br"? known: mgmt-br

error: port "vm1": there is no VLAN 5000
 --> a.toml:6:8
  |
6 | vlan = 5000
  |        ^^^^
  |
  = help: VLAN ids are 1 to 4094"#;
    assert_eq!(said, expected.trim_start());
}

#[test]
fn carets_find_elements_headers_and_what_is_missing() {
    for (text, place, words) in [
        (
            "[bridge.b]\n[port.p]\nbridge = \"b\"\nkind = \"tap\"\ntrunk = [100, \"x\"]\n",
            "a.toml:5:15",
            "\"x\" is no VLAN id",
        ),
        (
            "[bridge.b]\n[port.p]\nbridge = \"b\"\n",
            "a.toml:2:7",
            "does not say its kind",
        ),
        (
            "[bridge.b]\n[host.\"b.100\"]\nbridge = \"b\"\nmtu = 9000\n",
            "a.toml:4:7",
            "host \"b.100\": an MTU of 9000",
        ),
        (
            "[bridge.a-name-with-16-c]\n",
            "a.toml:1:9",
            "has 16 characters",
        ),
        ("[brigde.b]\n", "a.toml:1:2", "unknown table \"brigde\""),
        (
            "[bridge.b]\n[[bridge.b.fdb]]\nmac = \"02:00:00:00:00:01\"\nport = \"p\"\n",
            "a.toml:4:8",
            "has no port \"p\"",
        ),
        (
            "[bridge.b]\n[[bridge.b.fdb]]\nmac = \"02:00:00:00:00:01\"\nprot = \"p\"\n",
            "a.toml:4:1",
            "unknown key \"prot\"",
        ),
        (
            "daemon = 5\n",
            "a.toml:1:10",
            "this is a table, not a number",
        ),
        (
            "[daemon]\nspin = \"2s\"\n",
            "a.toml:2:8",
            "[daemon]: spinning for 2s",
        ),
        ("[bridge]\nb = 5\n", "a.toml:2:5", "this is a table"),
        (
            "[bridge.b]\nmtu = 99999999999999999999\n",
            "a.toml:2:7",
            "bridge \"b\": ",
        ),
        ("[bridge.b]\nmtu = nan\n", "a.toml:2:7", "bridge \"b\": "),
    ] {
        let said = wrong(&[("a.toml", text)]);
        assert!(
            said.contains(place) && said.contains(words),
            "{place} {words}\nis missing in\n{said}"
        );
        assert_eq!(said.matches("error: ").count(), 1, "{said}");
    }
}

#[test]
fn broken_toml_tells_every_place_and_nothing_that_follows_from_it() {
    let said = wrong(&[
        ("a.toml", "[bridge.br0]\nmtu = \n[port.x\n"),
        ("b.toml", "[bridge.br0]\nmtu == 5\n"),
    ]);
    for place in ["a.toml:2", "a.toml:3", "b.toml:2"] {
        assert!(said.contains(place), "{place}\n{said}");
    }
    assert!(
        said.contains("this is no TOML") && !said.contains("also in"),
        "{said}"
    );
    let said = wrong(&[("a.toml", "[bridge.b]\n[bridge.b]\n")]);
    assert!(
        said.contains("duplicate key") && said.contains("a.toml:2"),
        "{said}"
    );
}

#[test]
fn an_object_in_two_files_names_and_shows_both() {
    let said = wrong(&[
        ("a.toml", "\n[bridge.br0]\n"),
        ("conf.d/b.toml", "[bridge.br0]\n"),
    ]);
    assert!(
        said.contains("bridge \"br0\": this is also in a.toml"),
        "{said}"
    );
    assert!(
        said.contains("conf.d/b.toml:1:9") && said.contains("a.toml:2:9"),
        "{said}"
    );
    let said = wrong(&[
        ("a.toml", "[daemon]\nworkers = 1\n"),
        ("b.toml", "[daemon]\nlog = \"info\"\nworkers = 2\n"),
    ]);
    assert!(
        said.contains("b.toml:3:1") && said.contains("a.toml:2:1"),
        "{said}"
    );
    assert!(
        wrong(&[("a.toml", "bridge = 1\n"), ("b.toml", "[bridge.b]\n")]).contains("named objects")
    );
}

#[test]
fn several_files_are_one_configuration() {
    let config = parse(&sources_of(&[
        ("a", "[bridge.br0]\nmtu = 9000\n"),
        (
            "b",
            "[port.vm1]\nbridge = \"br0\"\nkind = \"tap\"\ntrunk = [100, \"200-299\"]\n",
        ),
        ("c", ""),
    ]))
    .expect("right");
    assert_eq!(config.bridge["br0"].mtu, 9000);
    assert_eq!(
        config.membership_of("vm1").map(|m| m.tagged.ranges().len()),
        Some(2)
    );
}

#[test]
fn errors_found_later_get_their_place() {
    let sources = sources_of(&[(
        "a.toml",
        "[bridge.b]\n[port.p]\nkind = \"nic\"\nbridge = \"b\"\n",
    )]);
    let error = ConfigError::new("port.p.device", "there is no device \"p\"");
    let said = explain(&sources, vec![error]).to_string();
    assert!(said.contains("a.toml:2:7") && said.contains("^"), "{said}");
    let said = explain(&sources, vec![ConfigError::new("port.none", "x").hint("y")]).to_string();
    assert!(
        said.contains("a.toml:2:2"),
        "the nearest thing around it: {said}"
    );
    let said = explain(&[], vec![ConfigError::new("port.none", "x").hint("y")]).to_string();
    assert!(
        said.contains("at port.none") && said.contains("y"),
        "{said}"
    );
}

#[test]
fn files_are_read_with_their_folder() {
    let folder = std::env::temp_dir().join(format!("vswitch-api-load-{}", std::process::id()));
    let more = folder.join("conf.d");
    std::fs::create_dir_all(&more).expect("a folder");
    let main = folder.join("vswitch.toml");
    let write = |path: &Path, text: &str| std::fs::write(path, text).expect("a file");
    write(&main, "[bridge.br0]\n");
    write(
        &more.join("2.toml"),
        "[port.b]\nkind = \"tap\"\nbridge = \"br0\"\n",
    );
    write(
        &more.join("1.toml"),
        "[port.a]\nkind = \"tap\"\nbridge = \"br0\"\n",
    );
    write(&more.join(".hidden.toml"), "no toml");
    write(&more.join("notes.txt"), "no toml");
    let loaded = load(&main);
    write(&more.join("3.toml"), "\u{0}");
    let broken = load(&main);
    let missing = load(&folder.join("none.toml"));
    std::fs::remove_dir_all(&folder).expect("cleaned up");
    let (config, files) = loaded.expect("loaded");
    assert_eq!(config.port.len(), 2);
    let names: Vec<_> = files
        .iter()
        .filter_map(|file| file.file_name()?.to_str())
        .collect();
    assert_eq!(names, ["vswitch.toml", "1.toml", "2.toml"]);
    assert!(
        matches!(broken, Err(LoadError::Wrong(errors)) if errors.to_string().contains("3.toml:1:1"))
    );
    assert!(matches!(missing, Err(LoadError::Io { path, .. }) if path.ends_with("none.toml")));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}") {
        if let Err(errors) = parse(&sources_of(&[("any", &text)])) {
            prop_assert!(!errors.to_string().is_empty());
        }
    }

    /// Pieces of configurations, in any order, some cut: deeper into the reader than noise gets.
    #[test]
    fn no_mixture_of_pieces_makes_it_panic(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "[bridge.b]\n", "[port.p]\n", "[[bridge.b.fdb]]\n", "mtu = 1\n", "vlans = [1, \"2-\n", "]\n", "\"é\" = 'x'\n",
            "kind = \"tap\"\n", "[host.\"a.b\"]\n", "x.y = {z = [1, {}]}\n", "bridge = \"b\"\n", "# é\r\n", "\t", "\u{1b}",
            "a = \"\"\"\n", "1979-05-27\n", "v = 0x_\n", "[daemon]\n", "workers = inf\n",
        ]), 0..14),
        cut in 0..200usize,
    ) {
        let mut text = pieces.concat();
        let cut = (0..=cut.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(text.len().max(cut));
        let both = sources_of(&[("a", &text), ("b", &text[..cut.min(text.len())])]);
        if let Err(errors) = parse(&both) {
            prop_assert!(errors.to_string().contains("error: "));
        }
    }
}
