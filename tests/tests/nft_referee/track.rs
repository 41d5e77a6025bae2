//! What conntrack knows of a TCP connection, worked out again from the frames that passed: the windows of
//! `tcp_in_window` and as much of the states of nf_conntrack_proto_tcp.c as the differences need.

use crate::segment::{ACK, FIN, Header, LEAST_ACK_WINDOW, Place, RST, SYN, later};

/// One side of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Side {
    /// The number after all that it has sent (`td_end`).
    pub(crate) end: u32,
    /// The number up to which the other side lets it send (`td_maxend`).
    pub(crate) limit: u32,
    /// The largest window it has offered (`td_maxwin`), scaled; 0 before it was heard.
    pub(crate) window: u32,
    /// Highest acknowledgement that it has sent (`td_maxack`).
    pub(crate) acknowledged: Option<u32>,
    /// The number of its SYN.
    pub(crate) first: u32,
    /// The window of its SYN, which is not scaled.
    opening: u32,
    /// The scale that its SYN offers.
    offers: Option<u32>,
    /// The one that holds.
    pub(crate) scale: u32,
    /// It has sent a FIN.
    pub(crate) finished: bool,
    /// The largest window that it has written later.
    offered: u32,
    /// Likewise, and the highest number that it has acknowledged, whatever conntrack believes of the segments that said so.
    said: u32,
    pub(crate) heard: Option<u32>,
    /// The number from which on conntrack believes more than mseg does: what was sent beyond the window, or a reset.
    pub(crate) overshot: Option<u32>,
    /// The number after what passed of it, but was taken for old.
    pub(crate) passed_over: Option<u32>,
    /// The number after all that mseg believes it has sent: also what conntrack passes over, but no reset.
    sent: u32,
    /// Likewise, the highest number that it has acknowledged.
    pub(crate) confirmed: Option<u32>,
    /// Likewise, whether it has sent a FIN that is not older than what the other side has acknowledged.
    closed: bool,
}

impl Side {
    /// Its largest window as mseg keeps it: in units, rounded up.
    pub(crate) fn room(&self) -> u32 {
        self.room_for(self.offered)
    }

    /// Likewise, if mseg believes all segments.
    pub(crate) fn widest_room(&self) -> u32 {
        self.room_for(self.said)
    }

    /// Likewise, if it has said nothing but its SYN.
    pub(crate) fn opening_room(&self) -> u32 {
        self.room_for(0)
    }

    fn room_for(&self, window: u32) -> u32 {
        let rounded = |window: u32, scale: u32| (window / (16 << scale) + 1) * (16 << scale);
        let opening = rounded(self.opening, self.offers.unwrap_or(0));
        // What was rounded by a scale that the other side has not agreed to is no larger than can be written.
        let opening = if self.scale == 0 { opening.min(0x10000) } else { opening };
        // The least that can be told from nothing.
        opening.max(rounded(window, self.scale)).max(32)
    }

    fn pass_over(&mut self, end: u32) {
        if self.passed_over.is_none_or(|before| later(end, before)) {
            self.passed_over = Some(end);
        }
    }

    /// Whether a segment that ended behind its window, or a reset of its own, has made conntrack take it for larger.
    pub(crate) fn is_stretched(&self) -> bool {
        self.window > self.opening.max(self.offered).max(1)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing that opens has passed.
    #[default]
    Nothing,
    SynSent,
    SynRecv,
    /// The client has acknowledged the server's SYN.
    Open,
}

/// What conntrack has last taken note of (`last_index`, `last_dir`, `last_end`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Last {
    #[default]
    Other,
    /// A SYN of the client's that passed without a change.
    Syn,
    /// No SYN, FIN or reset: whose, and the number after it.
    Segment(bool, u32),
}

/// A connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Track {
    pub(crate) phase: Phase,
    pub(crate) client_is_near: bool,
    /// By whether they are near.
    sides: [Side; 2],
    /// Both sides have sent a SYN without ACK.
    pub(crate) opened_by_both: bool,
    /// conntrack has heard the server before it has answered: something passed, or an answer by a wrong number did not.
    early: bool,
    /// And then a reset of the server's was the answer.
    pub(crate) refused: bool,
    /// A reset has passed.
    pub(crate) reset: bool,
    /// It has closed the connection to mseg.
    aborted: bool,
    /// One has closed it to conntrack, which knows of other numbers, and at times takes any.
    taken: bool,
    last: Last,
    /// A side has sent a FIN after its FIN, or one out of the window: only to one of the two have both sides closed.
    is_over_in_doubt: bool,
    /// And then a SYN has passed; or one that was taken for nothing was answered.
    pub(crate) reopened_in_doubt: bool,
    /// A reset has changed what conntrack knows of the numbers.
    pub(crate) moved_by_reset: bool,
    /// Both sides have sent a FIN, and something within the window was sent since.
    waits: bool,
    /// Whose the last segment was, if it was a reset.
    resetting: Option<bool>,
    /// The server has answered once more, or opened at the same time, by another number than before.
    pub(crate) answered_anew: bool,
    /// A SYN of the client's that passed without a change.
    pub(crate) ignored: Option<Header>,
}

impl Track {
    pub(crate) fn side(&self, near: bool) -> &Side {
        &self.sides[usize::from(near)]
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.reset || self.sides.iter().any(|side| side.finished)
    }

    fn is_closing_to_conntrack(&self) -> bool {
        self.taken || self.sides.iter().any(|side| side.finished)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.aborted || self.taken || self.is_over_in_doubt || self.have_closed().contains(&true)
    }

    /// Whether both sides have closed: to conntrack, to mseg.
    fn have_closed(&self) -> [bool; 2] {
        let all = |is: fn(&Side) -> bool| self.sides.iter().all(is);
        [all(|side| side.finished), all(|side| side.closed)]
    }

    /// Whether mseg has seen the client acknowledge the server's SYN.
    pub(crate) fn is_open_to_mseg(&self) -> bool {
        let (client, server) = (self.side(self.client_is_near), self.side(!self.client_is_near));
        self.phase == Phase::SynRecv && client.confirmed.is_some_and(|number| later(number, server.first))
    }

    /// Where a segment lies.
    pub(crate) fn place(&self, near: bool, header: &Header) -> Place {
        let (sender, receiver) = (self.side(near), self.side(!near));
        let past = |number: u32, bound: u32| number.wrapping_sub(bound).cast_signed();
        let lag = sender.window.max(LEAST_ACK_WINDOW);
        // Without ACK, or with the zero of a careless reset, it stands for the right one.
        let has_ack = header.flags & ACK != 0 && !(header.resets() && header.acknowledgement == 0);
        let acknowledgement = if has_ack { header.acknowledgement } else { receiver.end };
        Place {
            over: past(header.sequence, sender.limit),
            overshoot: past(header.end, sender.limit),
            under: past(sender.end.wrapping_sub(receiver.window), header.end),
            acknowledges_more: past(acknowledgement, receiver.end),
            acknowledges_less: past(receiver.end.wrapping_sub(lag), acknowledgement),
        }
    }

    /// Whether it goes beyond the window by less than the window: conntrack lets it pass, and takes its end for sent.
    pub(crate) fn is_overshoot(&self, near: bool, header: &Header) -> bool {
        let (place, receiver) = (self.place(near, header), self.side(!near));
        Place { over: 0, ..place }.is_within()
            && place.over > 0
            && i64::from(place.overshoot) < i64::from(receiver.window)
    }

    /// Takes note of a segment that passed.
    pub(crate) fn pass(&mut self, near: bool, header: &Header) {
        self.pass_by_flags(near, header);
        self.resetting = header.resets().then_some(near);
    }

    /// Takes note of a segment that was denied. conntrack takes the numbers of an answer even so.
    pub(crate) fn deny(&mut self, near: bool, header: &Header) {
        self.early |= header.answers() && self.phase == Phase::SynSent && near != self.client_is_near;
    }

    fn pass_by_flags(&mut self, near: bool, header: &Header) {
        if header.resets() {
            self.pass_reset(near, header);
        } else if header.opens() {
            self.pass_syn(near, header);
        } else if header.answers() {
            self.pass_answer(near, header);
        } else if matches!(self.phase, Phase::SynRecv | Phase::Open) {
            self.pass_segment(near, header);
        } else {
            self.early |= self.phase == Phase::SynSent && near != self.client_is_near;
        }
    }

    fn pass_reset(&mut self, near: bool, header: &Header) {
        let (sender, receiver) = (self.side(near), self.side(!near));
        let is = |number: Option<u32>| number.is_none_or(|number| number == header.sequence);
        let closes = is(receiver.confirmed) || header.sequence == sender.sent;
        let is_at_end = is(receiver.acknowledged) || self.last == Last::Segment(near, header.sequence);
        let mut is_taken = true;
        // After a FIN or a reset that closes, no window is looked at.
        if matches!(self.phase, Phase::SynRecv | Phase::Open) && !self.is_closing_to_conntrack() {
            // Behind a SYN that changed nothing no number is compared.
            let is_any = self.phase == Phase::SynRecv || self.last == Last::Syn;
            is_taken = self.place(near, header).is_within() && (is_at_end || is_any);
            let before = self.sides;
            self.pass_segment(near, header);
            self.moved_by_reset |= self.sides != before;
        }
        self.refused |= self.phase == Phase::SynSent && self.early && near != self.client_is_near;
        self.reset |= self.phase != Phase::Nothing;
        self.aborted |= self.reset && closes;
        self.taken |= self.reset && is_taken;
    }

    fn pass_syn(&mut self, near: bool, header: &Header) {
        let from_client = near == self.client_is_near;
        match self.phase {
            Phase::SynSent if !from_client => {
                self.answered_anew |= self.opened_by_both && header.sequence != self.side(near).first;
                self.opened_by_both = true;
                self.open(near, header);
            }
            Phase::SynSent => {
                (self.refused, self.aborted, self.taken) = (false, false, false);
                self.open(near, header);
            }
            Phase::Nothing => self.start(near, header),
            _ if self.is_closed() => self.start(near, header),
            _ if from_client => (self.ignored, self.last) = (Some(*header), Last::Syn),
            _ => {}
        }
    }

    fn start(&mut self, near: bool, header: &Header) {
        let closed_in_doubt = if self.reset { self.resetting != Some(near) } else { !self.waits };
        let [by_conntrack, by_mseg] = self.have_closed();
        let reopened_in_doubt = self.reopened_in_doubt
            || self.is_over_in_doubt
            || self.aborted != self.taken
            || by_conntrack != by_mseg
            || self.phase != Phase::Nothing && closed_in_doubt;
        *self = Self { phase: Phase::SynSent, client_is_near: near, reopened_in_doubt, ..Self::default() };
        self.open(near, header);
    }

    fn open(&mut self, near: bool, header: &Header) {
        self.sides[usize::from(near)] = Side {
            first: header.sequence,
            end: header.end,
            sent: header.end,
            limit: header.end,
            opening: header.window,
            window: header.window.max(1),
            offers: header.scale,
            scale: header.scale.unwrap_or(0),
            ..Side::default()
        };
    }

    fn pass_answer(&mut self, near: bool, header: &Header) {
        self.last = Last::Other;
        let client = !near;
        match (self.phase, self.ignored) {
            (Phase::SynSent, _) if client == self.client_is_near => {}
            (Phase::SynRecv | Phase::Open, Some(ignored)) if header.acknowledgement == ignored.end => {
                self.start(client, &ignored);
                self.reopened_in_doubt = true;
            }
            _ => {
                let opening = self.phase == Phase::SynRecv && near != self.client_is_near;
                self.answered_anew |= opening && header.sequence != self.side(near).first;
                return;
            }
        }
        self.open(near, header);
        self.phase = Phase::SynRecv;
        self.believe(near, header);
        self.hear(near, header);
        if self.sides.iter().any(|side| side.offers.is_none()) {
            self.sides.iter_mut().for_each(|side| side.scale = 0);
        }
        self.acknowledge(near, header);
    }

    fn pass_segment(&mut self, near: bool, header: &Header) {
        self.believe(near, header);
        self.hear(near, header);
        if self.is_overshoot(near, header) {
            let sender = &mut self.sides[usize::from(near)];
            if later(sender.end, header.end) {
                sender.pass_over(sender.end);
            }
            sender.overshot = sender.overshot.or(Some(sender.end));
            sender.end = header.end;
            self.is_over_in_doubt |= header.flags & FIN != 0;
            return;
        }
        let place = self.place(near, header);
        if !place.is_within() {
            if place.is_old() {
                self.sides[usize::from(near)].pass_over(header.end);
                self.is_over_in_doubt |= header.flags & FIN != 0;
            }
            return;
        }
        self.waits |= self.sides.iter().all(|side| side.finished);
        let over = place.overshoot;
        if over > 0 {
            self.sides[usize::from(!near)].window += over.cast_unsigned();
        }
        let from_client = near == self.client_is_near;
        let sender = &mut self.sides[usize::from(near)];
        if later(header.end, sender.end) {
            if header.resets() {
                sender.overshot = Some(sender.end);
            }
            sender.end = header.end;
        }
        self.last = if header.flags & (FIN | RST) == 0 { Last::Segment(near, header.end) } else { Last::Other };
        self.is_over_in_doubt |= sender.finished && header.flags & FIN != 0;
        sender.finished |= header.flags & FIN != 0;
        self.acknowledge(near, header);
        let is_guess = header.flags & FIN != 0 && self.side(!near).acknowledged.is_none_or(|it| !later(header.end, it));
        if from_client && !header.resets() && !is_guess {
            self.phase = Phase::Open;
        }
    }

    /// What mseg takes note of: all within the window as it keeps it.
    fn believe(&mut self, near: bool, header: &Header) {
        let receiver = self.side(!near);
        let base = receiver.confirmed.unwrap_or(self.side(near).first);
        let limit = base.wrapping_add(receiver.widest_room());
        let is_guess = header.flags & FIN != 0 && receiver.confirmed.is_some_and(|it| !later(header.end, it));
        let opens = self.phase == Phase::SynRecv && near == self.client_is_near;
        if header.flags & (RST | ACK) != ACK || later(header.sequence, limit) || opens && is_guess {
            return;
        }
        let sender = &mut self.sides[usize::from(near)];
        sender.closed |= header.flags & FIN != 0 && !is_guess;
        if later(header.end, sender.sent) {
            sender.sent = header.end;
        }
        if sender.confirmed.is_none_or(|before| later(header.acknowledgement, before)) {
            sender.confirmed = Some(header.acknowledgement);
        }
    }

    fn hear(&mut self, near: bool, header: &Header) {
        let sender = &mut self.sides[usize::from(near)];
        if header.flags & (SYN | RST) == 0 {
            sender.said = sender.said.max(header.window << sender.scale);
        }
        if header.flags & ACK != 0 && sender.heard.is_none_or(|before| later(header.acknowledgement, before)) {
            sender.heard = Some(header.acknowledgement);
        }
    }

    /// The window and the acknowledgement of a segment.
    fn acknowledge(&mut self, near: bool, header: &Header) {
        let sender = &mut self.sides[usize::from(near)];
        let window = if header.flags & SYN != 0 { header.window } else { header.window << sender.scale };
        sender.window = sender.window.max(window);
        if header.flags & (SYN | RST) == 0 {
            sender.offered = sender.offered.max(window);
        }
        if header.flags & ACK == 0 {
            return self.limit(!near, self.side(!near).end, window);
        }
        let acknowledgement = header.acknowledgement;
        let sender = &mut self.sides[usize::from(near)];
        if sender.acknowledged.is_none_or(|before| later(acknowledgement, before)) {
            sender.acknowledged = Some(acknowledgement);
        }
        self.limit(!near, acknowledgement, window);
    }

    fn limit(&mut self, near: bool, acknowledgement: u32, window: u32) {
        let side = &mut self.sides[usize::from(near)];
        let limit = acknowledgement.wrapping_add(window.max(1));
        if later(limit, side.limit) {
            side.limit = limit;
        }
    }
}
