//! How much one lane may hold in memory, so that all together stay within bounds however many there are.

/// First attempts that are ready at one endpoint, and at all of them. Enough to keep the widest endpoint busy while a
/// page is read; each costs some 600 bytes.
const READY: Bound = Bound { least: 8, most: 256, all: 1 << 18 };

/// Deliveries parked behind others of their resource; beyond it the endpoint's position waits.
const PARKED: Bound = Bound { least: 16, most: 1_000, all: 1 << 20 };

/// Deliveries waiting for a retry; beyond it the endpoint's position waits. Each costs some 250 bytes.
const WAITING: Bound = Bound { least: 32, most: 4_096, all: 1 << 20 };

/// How much of something an endpoint may hold in memory: its share of what all may hold, within limits.
struct Bound {
    least: usize,
    most: usize,
    all: usize,
}

impl Bound {
    fn share(&self, lanes: usize) -> usize {
        (self.all / lanes.max(1)).clamp(self.least, self.most)
    }
}

/// How much a lane may hold, so that all together have room in memory however many there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// First attempts that are ready.
    pub(super) ready: usize,
    /// Deliveries parked behind others of their resource.
    pub(super) parked: usize,
    /// Deliveries waiting for a retry.
    pub(super) waiting: usize,
}

impl Room {
    /// For each of so many lanes.
    pub(super) fn of(lanes: usize) -> Self {
        Self { ready: READY.share(lanes), parked: PARKED.share(lanes), waiting: WAITING.share(lanes) }
    }
}

/// How much of a stretch of the log was for one endpoint: it is read in pages, and what is left over of one for which
/// there is no room is read again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Share {
    seen: usize,
    taken: usize,
}

impl Share {
    /// One more event was looked at.
    pub(super) fn count(&mut self, is_taken: bool) {
        self.seen += 1;
        self.taken += usize::from(is_taken);
    }

    /// How many events hold so many that are for the endpoint, if the next ones are like these. No bound if none of
    /// these was.
    pub(super) fn events_for(&self, wanted: usize) -> usize {
        if self.taken == 0 { usize::MAX } else { (wanted * self.seen).div_ceil(self.taken) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_holds_what_there_is_room_for() {
        for (seen, taken, wanted, events) in
            [(0, 0, 10, usize::MAX), (256, 0, 10, usize::MAX), (256, 256, 100, 100), (200, 1, 13, 2_600), (3, 2, 5, 8)]
        {
            assert_eq!(Share { seen, taken }.events_for(wanted), events, "{taken} of {seen}, room for {wanted}");
        }
    }

    #[test]
    fn ten_thousand_lanes_together_hold_little_more_than_a_thousand() {
        for lanes in [0, 1, 100, 1_000, 10_000] {
            let room = Room::of(lanes);
            assert!(room.ready >= 16 && room.parked >= 100 && room.waiting >= 100, "{lanes}: {room:?}");
            assert!(room.ready * lanes <= 1_024 * READY.most, "{lanes}: {room:?}");
            assert!(room.parked * lanes <= 1_050 * PARKED.most, "{lanes}: {room:?}");
            assert!(room.waiting * lanes <= 256 * WAITING.most, "{lanes}: {room:?}");
        }
    }
}
