//! Pages of a directory.

use super::*;

#[test]
fn a_page_looks_at_no_more_than_it_has() {
    let stored = |n: usize| {
        let key = Key::new(if n < 4_000 { "T" } else { "U" }, &format!("{n:05}"));
        Stored::bare(&key, &[], 1)
    };
    // In no order.
    let directory: Directory = (0..5_000).map(|n| stored(n * 7 % 5_000)).collect();
    let check = |type_name: Option<&str>, after: Option<usize>, expected: Vec<usize>| {
        let looks = std::cell::Cell::new(0);
        let after = after.map(|n| stored(n).key().to_key());
        let page = directory.page(type_name, after.as_ref(), 100, |_| {
            looks.set(looks.get() + 1);
            true
        });
        let found: Vec<usize> = page.iter().map(|it| it.key().id.parse().unwrap()).collect();
        assert_eq!((found, looks.get()), (expected.clone(), expected.len()));
    };
    check(None, None, (0..100).collect());
    check(None, Some(2_499), (2_500..2_600).collect());
    check(None, Some(4_949), (4_950..5_000).collect());
    check(Some("T"), Some(3_949), (3_950..4_000).collect());
    check(Some("U"), None, (4_000..4_100).collect());
    check(Some("U"), Some(17), (4_000..4_100).collect());
    check(Some("T"), Some(4_500), vec![]);
    check(Some("None"), None, vec![]);
}
