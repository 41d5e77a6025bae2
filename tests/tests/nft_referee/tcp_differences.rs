//! The differences about TCP that are meant: by what the two ends have sent so far.

use crate::{
    differences::Difference,
    generate::Unit,
    rules,
    segment::{ACK, FIN, Header, LEAST_ACK_WINDOW, Place, SYN, later},
    track::{Phase, Track},
};

/// The TCP segment of a difference, where it lies, and the connection as far as it has passed.
struct Segment {
    header: Header,
    track: Track,
    place: Place,
    to_far: bool,
}

impl Segment {
    fn of(it: &Difference<'_>) -> Option<Self> {
        let (header, track) = (it.header()?, it.track());
        let to_far = it.unit.to_far;
        Some(Self { header, track, place: track.place(to_far, &header), to_far })
    }

    fn is_from_client(&self) -> bool {
        self.to_far == self.track.client_is_near
    }

    fn is_connected(&self) -> bool {
        matches!(self.track.phase, Phase::SynRecv | Phase::Open)
    }
}

/// Whether it comes before the SYN of the other side, or would end the handshake without knowing that SYN's number.
pub(crate) fn is_of_handshake(it: &Difference<'_>) -> bool {
    let Some(segment) = Segment::of(it) else { return false };
    let (track, place, header) = (&segment.track, segment.place, &segment.header);
    // Also a SYN of the other side, after a reset that only conntrack takes for an end.
    let is_early = track.phase == Phase::SynSent && (header.flags & SYN == 0 || track.reset);
    let is_last = track.phase == Phase::SynRecv && segment.is_from_client() && header.flags & SYN == 0;
    let is_guess = place.acknowledges_more < 0 || track.is_overshoot(segment.to_far, header);
    let knows_syn = header.flags & ACK != 0 && header.acknowledgement == track.side(!segment.to_far).end;
    // A reset and an answer must show that they know the number of the SYN, too; so must another answer.
    let is_another = track.phase == Phase::SynRecv && !segment.is_from_client() && header.answers();
    let is_first = track.phase == Phase::SynSent && (header.resets() || header.answers());
    let knows_less = (is_first || is_another) && !knows_syn;
    let refuses = !segment.is_from_client()
        && header.resets()
        && match track.phase {
            Phase::SynRecv => knows_syn,
            Phase::Open => {
                header.flags & ACK != 0 && track.ignored.is_some_and(|syn| syn.end == header.acknowledgement)
            }
            _ => false,
        };
    // To mseg that is the end. To conntrack it is not, if it had heard the server before.
    let is_refused = track.refused && !segment.is_from_client() && header.flags & SYN == 0;
    // A FIN of the client's that lies before its SYN ends the handshake to conntrack alone;
    // mseg goes by the window of that SYN.
    let (sender, receiver) = (track.side(segment.to_far), track.side(!segment.to_far));
    let is_unheard = track.phase == Phase::SynRecv && receiver.finished && receiver.confirmed.is_none();
    let is_beyond_syn = !segment.is_from_client()
        && is_unheard
        && later(header.sequence, sender.first.wrapping_add(receiver.opening_room()));
    // Of two openings at once.
    let is_second = track.opened_by_both && track.phase == Phase::SynSent;
    if is_second && !place.is_within() {
        return true;
    }
    if track.answered_anew {
        return header.flags & SYN == 0;
    }
    it.nft_denies() && (is_early || refuses)
        || it.mseg_denies() && (is_last && is_guess || knows_less || is_refused || is_beyond_syn)
}

/// Whether a segment lies before what may still be sent, or acknowledges what was acknowledged long ago.
pub(crate) fn is_old(it: &Difference<'_>) -> bool {
    Segment::of(it).is_some_and(|segment| {
        it.mseg_denies() && segment.header.flags & SYN == 0 && segment.is_connected() && segment.place.is_old()
    })
}

/// Whether it follows a segment that only one of the two believes: beyond the window, or a reset. It acknowledges that, or
/// what conntrack passed over for it; or lies where only one of the windows that they take for offered lets it.
pub(crate) fn is_of_overshoot(it: &Difference<'_>) -> bool {
    let Some(segment) = Segment::of(it) else { return false };
    let (header, place) = (&segment.header, segment.place);
    let (sender, receiver) = (segment.track.side(segment.to_far), segment.track.side(!segment.to_far));
    let acknowledges = |end: u32| header.flags & ACK != 0 && later(header.acknowledgement, end);
    if it.nft_denies() {
        return acknowledges(receiver.end) && receiver.passed_over.is_some_and(|end| !acknowledges(end));
    }
    let last = sender.passed_over.filter(|&end| later(end, sender.end)).unwrap_or(sender.end);
    let is_before = later(last.wrapping_sub(receiver.room()), header.end);
    let base = receiver.acknowledged.unwrap_or(sender.first);
    let is_beyond = later(header.sequence, base.wrapping_add(receiver.room()));
    let lag = sender.room().max(LEAST_ACK_WINDOW);
    let heard = receiver.passed_over.filter(|&end| later(end, receiver.end)).unwrap_or(receiver.end);
    let is_late = later(heard.wrapping_sub(lag), header.acknowledgement);
    let goes_on = place.is_within() || segment.track.is_overshoot(segment.to_far, header);
    it.mseg_denies()
        && goes_on
        && (receiver.overshot.is_some_and(acknowledges)
            || (receiver.is_stretched() || sender.passed_over.is_some()) && is_before
            || receiver.is_stretched() && is_beyond
            || (sender.is_stretched() || receiver.passed_over.is_some()) && is_late)
}

/// Whether both sides have closed, and a SYN that would open a new connection in its place was denied; or only conntrack
/// takes the old one for closed.
pub(crate) fn is_reopened(it: &Difference<'_>) -> bool {
    // To conntrack, one that is sent again is the other side's.
    let mut fins = 0;
    let in_doubt = it.header().is_some() && it.track().reopened_in_doubt;
    let in_vain = it.nft_denies()
        && it.header().is_some_and(|header| !header.opens())
        && it.before.iter().zip(it.passed).any(|(unit, passed)| {
            let Some(header) = unit.packets.first().and_then(|packet| Header::of(packet)) else { return false };
            fins += u32::from(*passed && header.flags & FIN != 0);
            !passed && header.opens() && fins > 1
        });
    in_doubt || in_vain
}

/// Whether it is a reset out of the window, after a FIN, another reset, or a SYN that changed nothing; or whatever
/// follows a reset by which conntrack goes.
pub(crate) fn is_of_reset(it: &Difference<'_>) -> bool {
    let Some(segment) = Segment::of(it) else { return false };
    let (track, header) = (&segment.track, &segment.header);
    let receiver = track.side(!segment.to_far);
    let is_before = receiver.acknowledged.is_some_and(|number| later(number, header.sequence));
    let is_outside = is_before || !segment.place.is_within();
    let is_late = is_outside && (track.is_closing() || track.ignored.is_some());
    // It lies before what only mseg knows to be acknowledged.
    let is_acknowledged = receiver.confirmed.is_some_and(|number| later(number, header.sequence));
    it.mseg_denies() && header.resets() && (is_late || is_acknowledged)
        || header.flags & SYN == 0 && track.moved_by_reset
}

/// Whether it is a SYN within a connection: of the server, if a rule allows it or a SYN of the client is under way, or a
/// SYN+ACK of the client, which pass; or a SYN+ACK out of the window, which does not.
pub(crate) fn is_of_syn(it: &Difference<'_>) -> bool {
    let Some(segment) = Segment::of(it) else { return false };
    let (opens, answers) = (segment.header.opens(), segment.header.answers());
    let is_syn_of_client = |unit: &&Unit| {
        unit.to_far != segment.to_far && unit.packets.iter().filter_map(|it| Header::of(it)).any(|it| it.opens())
    };
    let reopens = || rules::admits_any(it.unit) || it.passed().filter(is_syn_of_client).count() > 1;
    segment.is_connected()
        && if it.nft_denies() {
            if segment.is_from_client() {
                answers
            } else {
                opens && (segment.track.phase == Phase::SynRecv || reopens())
            }
        } else {
            it.mseg_denies() && answers && !segment.place.is_within()
        }
}

/// Whether it lies beyond the window, but not beyond the largest one from the last acknowledgement on, rounded up; or twice
/// as much, if it ends there.
pub(crate) fn is_of_wider_window(it: &Difference<'_>) -> bool {
    let Some(segment) = Segment::of(it) else { return false };
    let (header, place) = (&segment.header, segment.place);
    let (sender, receiver) = (segment.track.side(segment.to_far), segment.track.side(!segment.to_far));
    // What was acknowledged long ago is rounded, too, or is so only by what conntrack believes beyond the window.
    let oldest = receiver.end.wrapping_sub(sender.widest_room().max(LEAST_ACK_WINDOW));
    let is_late = later(oldest, header.acknowledgement) && header.flags & ACK != 0 && receiver.overshot.is_none();
    let acknowledges_less = i32::from(is_late);
    let base = receiver.heard.unwrap_or(sender.first);
    let [limit, twice] = [1, 2].map(|times| base.wrapping_add(times * receiver.widest_room()));
    let track = &segment.track;
    let is_open = track.phase == Phase::Open || track.is_closing() || track.is_open_to_mseg();
    let overshoots = is_open && !later(header.sequence, twice) && later(twice, header.end);
    // Half of all numbers are behind, and twice the largest window is half of them.
    let is_too_far =
        !later(sender.end.wrapping_add(1 << 30), header.end) && segment.track.is_overshoot(segment.to_far, header);
    if it.mseg_denies() {
        return is_too_far;
    }
    it.nft_denies()
        && header.flags & SYN == 0
        && segment.is_connected()
        && Place { over: 0, acknowledges_less, ..place }.is_within()
        && place.over > 0
        && (!later(header.sequence, limit) || overshoots)
}
