//! What can happen: to resources, to answers, to the process, and in which kind of world.

use std::fmt;

use certhook::model::resource::Kind;
use certhook::model::source::PassKind;

use crate::support::scripted_source::calls::Fault;
use crate::support::scripted_source::showing::LostCursor;

/// The top-level fields that upstream may come up with.
pub(super) const NEW_FIELDS: [&str; 2] = ["score", "channel"];

/// The field that answers by id carry, and rows may not.
pub(super) const MEMO: &str = "memo";

pub(super) const JURISDICTIONS: [&str; 3] = ["US-CA", "US-TX", "US-WA"];

/// What a certificate's or a request's fields become, or what becomes of it as a whole.
#[derive(Clone, Debug)]
pub(super) enum Alteration {
    /// The top-level status becomes this.
    Status(&'static str),
    /// A jurisdiction's entry comes, or becomes this: status, and how many days ahead its date is.
    Entry(&'static str, &'static str, i32),
    /// A jurisdiction's entry goes.
    DropEntry(&'static str),
    /// The resource's own date becomes so many days ahead; none: null.
    Date(Option<i32>),
    /// The date of a jurisdiction's entry becomes so many days ahead.
    EntryDate(&'static str, i32),
    /// The customer becomes this.
    Customer(u8),
    /// The field that rows may lack becomes this.
    Memo(Option<u8>),
    /// The same of an entry.
    EntryMemo(&'static str, u8),
    /// A field that is not documented becomes this, or null.
    Field(&'static str, Option<u8>),
    /// The request is fulfilled by this certificate; `false`: it only names it.
    Fulfil(u8, bool),
    /// There is a document, or none; `true`: and `updated_at` tells.
    Document(bool, bool),
    /// Nothing but `updated_at` moves.
    Touch,
    /// Lists do not show it any more.
    Archive,
    /// It is not there any more, for whoever asks.
    Delete,
    /// It is there and listed again; `true`: and `updated_at` tells.
    Restore(bool),
    /// Lists show it elsewhere.
    Reorder(usize),
}

/// Something that happens to one resource. One that is not there yet comes to be first.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) kind: Kind,
    pub(super) number: u8,
    pub(super) what: Alteration,
}

/// What goes wrong, or happens, at one call.
#[derive(Clone, Debug)]
pub(super) enum Mishap {
    /// Something happens right after the answer was made.
    Change(Change),
    /// The clocks go on by so many seconds right after the answer was made.
    Tick(u32),
    /// The answer comes after others have had so many turns.
    Late(u32),
    /// The answer goes wrong.
    Fault(Fault),
    /// This call and the next ones are not answered, so often.
    Trouble(u64),
    /// The gateway is told to stop.
    Stop,
    /// The process is killed.
    Kill,
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// To a resource.
    Change(Change),
    /// The clocks go on by so many seconds.
    Tick(u32),
    /// Upstream's clock moves every status whose date says so.
    Nightly,
    /// Passes run side by side; at the calls of these numbers, something happens.
    Look(Vec<PassKind>, Vec<(u64, Mishap)>),
    /// Another process takes over, whose clock is off by so many seconds from the last one's, and perhaps with reminders
    /// so many days ahead.
    Restart(i32, Option<Vec<u16>>),
    /// Somebody decides on what is withheld; `true`: that it may go.
    Decide(bool),
}

/// Which kind of world it is.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) page_size: usize,
    pub(super) is_descending: bool,
    pub(super) bounds_are_exclusive: bool,
    pub(super) lost_cursor: LostCursor,
    pub(super) rows_lack_status: bool,
    /// Which rows lack their memo: none, the resource's own, that of jurisdictions.
    pub(super) rows_lack_memo: [bool; 2],
    pub(super) rows_in_whole_seconds: bool,
    pub(super) answers_omit_nulls: bool,
    pub(super) tells_time: bool,
    pub(super) clock_moves_bump: bool,
    pub(super) archived_by_id: bool,
    /// How far upstream's clock is ahead of ours, in seconds.
    pub(super) ahead: i64,
    pub(super) guard: (u64, f64),
    pub(super) will_expire: Vec<u16>,
    pub(super) zone: &'static str,
    pub(super) baseline_is_told: bool,
    /// Whether the first sweep runs before anything can go wrong.
    pub(super) begins_well: bool,
}

/// A world, what is in it at first, and what happens there.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) world: World,
    pub(super) first: Vec<Change>,
    pub(super) steps: Vec<Step>,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?}\nfirst", self.world)?;
        self.first.iter().try_for_each(|change| writeln!(f, "    {change:?}"))?;
        writeln!(f, "steps")?;
        self.steps.iter().try_for_each(|step| writeln!(f, "    {step:?}"))
    }
}
