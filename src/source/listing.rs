//! Completeness as a value: [`Complete`] exists only where every page said so.

use std::collections::HashSet;

use super::{Cursor, Page, SourceError};

/// The most pages of a listing, unless it is told otherwise: what ten million resources have at ten to a page, the
/// vendor's own default. A listing that goes on beyond that never ends, and each of its pages costs a token.
pub const PAGES_MAX: u64 = 1_000_000;

/// Proof that a listing was read to its end without a contradiction. Only [`Listing::accept`] makes one.
#[derive(Debug)]
pub struct Complete(());

/// Why a listing proves nothing about what it did not show.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Incomplete {
    /// A page could not be read.
    #[error("page {page}: {error}")]
    Page {
        /// Counted from 1.
        page: u64,
        /// What happened.
        error: SourceError,
    },
    /// `has_more` without a cursor.
    #[error("page {page} says has_more and gives no next_cursor")]
    NoCursor {
        /// Counted from 1.
        page: u64,
    },
    /// A cursor without `has_more`.
    #[error("page {page} gives a next_cursor and says there is no more")]
    StrayCursor {
        /// Counted from 1.
        page: u64,
    },
    /// A cursor that was given before, by the page just read or by an earlier one.
    #[error("page {page} gives a cursor that was given before")]
    RepeatedCursor {
        /// Counted from 1.
        page: u64,
    },
    /// Nothing on the page, and yet more to come.
    #[error("page {page} is empty and says has_more")]
    EmptyPage {
        /// Counted from 1.
        page: u64,
    },
    /// The listing does not end.
    #[error("the listing has more than {pages_max} pages")]
    TooLong {
        /// How many were read.
        pages_max: u64,
    },
}

/// What to do after a page.
#[derive(Debug)]
pub enum Step {
    /// Ask for the page at this cursor.
    Next(Cursor),
    /// The listing was complete.
    Done(Complete),
    /// The listing is over and proves nothing.
    Broken(Incomplete),
}

/// A listing under way: judges each page as it comes.
#[derive(Debug)]
pub struct Listing {
    pages: u64,
    pages_max: u64,
    cursors: HashSet<u64>,
}

impl Default for Listing {
    /// Of at most [`PAGES_MAX`] pages.
    fn default() -> Self {
        Self::of_at_most(PAGES_MAX)
    }
}

impl Listing {
    /// A listing that is given up where it says that there is more beyond so many pages.
    pub fn of_at_most(pages_max: u64) -> Self {
        Self { pages: 0, pages_max, cursors: HashSet::new() }
    }

    /// Judges the next page. What the page showed may be used whatever the verdict.
    pub fn accept(&mut self, answer: Result<&Page, SourceError>) -> Step {
        self.pages += 1;
        let page = self.pages;
        let shown = match answer {
            Ok(shown) => shown,
            Err(error) => return Step::Broken(Incomplete::Page { page, error }),
        };
        match (shown.has_more, shown.next_cursor.clone()) {
            (false, None) => Step::Done(Complete(())),
            (false, Some(_)) => Step::Broken(Incomplete::StrayCursor { page }),
            (true, None) => Step::Broken(Incomplete::NoCursor { page }),
            (true, Some(_)) if shown.rows.is_empty() && shown.malformed.is_empty() => {
                Step::Broken(Incomplete::EmptyPage { page })
            }
            (true, Some(_)) if page >= self.pages_max => {
                Step::Broken(Incomplete::TooLong { pages_max: self.pages_max })
            }
            (true, Some(cursor)) if !self.cursors.insert(hash(&cursor)) => {
                Step::Broken(Incomplete::RepeatedCursor { page })
            }
            (true, Some(cursor)) => Step::Next(cursor),
        }
    }
}

/// Eight bytes a cursor, so that a listing of a million pages stays small. Two cursors that fall together (one
/// chance in 2^25 at a million pages) make the listing incomplete, never wrong.
fn hash(cursor: &Cursor) -> u64 {
    use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
    BuildHasherDefault::<DefaultHasher>::default().hash_one(cursor)
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::super::{Exchange, Row};
    use super::*;
    use crate::model::time::Timestamp;

    fn page(rows: usize, has_more: bool, next_cursor: Option<&str>) -> Page {
        let row = Row { id: "c1".parse().expect("an id"), raw: RawValue::from_string("{}".into()).expect("JSON") };
        let at = Timestamp::EPOCH;
        Page {
            rows: vec![row; rows],
            malformed: Vec::new(),
            has_more,
            next_cursor: next_cursor.map(|text| Cursor(text.into())),
            exchange: Exchange { asked_at: at, answered_at: at, upstream_at: None },
        }
    }

    /// Feeds pages and tells how the listing ended: `None` for complete.
    fn verdict(pages: &[Page]) -> Option<Incomplete> {
        let mut listing = Listing::default();
        for page in pages {
            match listing.accept(Ok(page)) {
                Step::Next(_) => {}
                Step::Done(_) => return None,
                Step::Broken(why) => return Some(why),
            }
        }
        panic!("the listing did not end");
    }

    #[test]
    fn only_a_last_page_that_says_so_completes_a_listing() {
        assert_eq!(verdict(&[page(2, true, Some("a")), page(2, true, Some("b")), page(0, false, None)]), None);
        assert_eq!(verdict(&[page(2, true, None)]), Some(Incomplete::NoCursor { page: 1 }));
        assert_eq!(verdict(&[page(2, false, Some("a"))]), Some(Incomplete::StrayCursor { page: 1 }));
        assert_eq!(verdict(&[page(0, true, Some("a"))]), Some(Incomplete::EmptyPage { page: 1 }));
    }

    #[test]
    fn a_cursor_loop_over_several_pages_is_noticed() {
        let pages = [page(1, true, Some("a")), page(1, true, Some("b")), page(1, true, Some("a"))];
        assert_eq!(verdict(&pages), Some(Incomplete::RepeatedCursor { page: 3 }));
    }

    #[test]
    fn a_page_that_failed_breaks_the_listing() {
        let error = SourceError::Unavailable("500".into());
        let Step::Broken(why) = Listing::default().accept(Err(error.clone())) else { panic!("it must break") };
        assert_eq!(why, Incomplete::Page { page: 1, error });
    }
}
