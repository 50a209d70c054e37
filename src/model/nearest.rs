//! "Did you mean": the known word that is closest to an unknown one.

/// More edits than this make another word of it.
const EDITS_MAX: usize = 3;

/// The candidate that an unknown dotted name was most likely meant to be: the same last word in another section, or
/// else the fewest edits, if they are few for the length of the name.
pub fn nearest<'a>(unknown: &str, candidates: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let last_word = |name: &'a str| name.rsplit('.').next();
    let wanted = unknown.rsplit('.').next();
    let mut elsewhere = candidates.clone().filter(|known| last_word(known) == wanted);
    if let (Some(only), None) = (elsewhere.next(), elsewhere.next()) {
        return Some(only);
    }
    let length = unknown.chars().count();
    let edits_max = EDITS_MAX.min(length / 3);
    candidates
        // Each letter too many or too few is an edit. Who sends us a text of any length does not make us count them.
        .filter(|known| known.chars().count().abs_diff(length) <= edits_max)
        .map(|known| (edits(unknown, known), known))
        .filter(|(edits, _)| *edits <= edits_max)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, known)| known)
}

/// How many letters must be put in, left out or changed to make one text of another (Levenshtein).
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, letter) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, other) in to.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        for (from, to, count) in [("", "", 0), ("listen", "listn", 1), ("kitten", "sitting", 3), ("", "abc", 3)] {
            assert_eq!(edits(from, to), count, "{from} to {to}");
        }
    }

    #[test]
    fn a_slip_finds_its_word_and_another_word_finds_none() {
        let known = ["server.listen", "delivery.timeout", "delivery.retry", "log.format"];
        let check = |unknown: &str| nearest(unknown, known.into_iter());
        assert_eq!(check("server.listn"), Some("server.listen"));
        assert_eq!(check("server.timeout"), Some("delivery.timeout"));
        assert_eq!(check("retry"), Some("delivery.retry"));
        assert_eq!(check("delivery.probe"), None);
        assert_eq!(check("x"), None);
        assert_eq!(check(&"x".repeat(100_000)), None);
    }
}
