//! Lines on their way from the ring to the output.

use mseg::{
    error::{Error, Result},
    view::EventDocument,
};

/// Lines that are written by one call. Bounds memory, and what is written twice after a kill.
const LINES: usize = 256;

/// Lines, and the records that may be released once they are written.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    text: Vec<u8>,
    lines: Vec<Line>,
}

#[derive(Clone, Copy, Debug)]
struct Line {
    /// Where it ends in the text.
    end: usize,
    /// Where its record ends in the ring, if it is about one.
    record: Option<u64>,
}

/// What of a batch has been written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// Lines about records.
    pub(crate) records: u64,
    /// Where the last of them ends in the ring.
    pub(crate) end: Option<u64>,
}

impl Batch {
    /// Adds a line.
    pub(crate) fn push(&mut self, document: &EventDocument<'_>, record: Option<u64>) -> Result<()> {
        serde_json::to_writer(&mut self.text, document)
            .map_err(|e| Error::failed(format!("cannot write JSON: {e}")))?;
        self.text.push(b'\n');
        self.lines.push(Line { end: self.text.len(), record });
        Ok(())
    }

    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.lines.len() >= LINES
    }

    /// What the first `bytes` of the text hold in whole lines.
    pub(crate) fn written(&self, bytes: usize) -> Written {
        let whole = self.lines.iter().take_while(|line| line.end <= bytes).filter_map(|line| line.record);
        whole.fold(Written::default(), |sum, end| Written { records: sum.records + 1, end: Some(end) })
    }

    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.lines.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_counts_as_written_with_the_last_byte_of_its_line() {
        let line = |end, record| Line { end, record };
        let lines = vec![line(10, None), line(20, Some(128)), line(30, Some(256)), line(40, None)];
        let batch = Batch { text: vec![0; 40], lines };
        assert_eq!(batch.written(19), Written::default());
        assert_eq!(batch.written(20), Written { records: 1, end: Some(128) });
        assert_eq!(batch.written(29), Written { records: 1, end: Some(128) });
        assert_eq!(batch.written(40), Written { records: 2, end: Some(256) });
    }
}
