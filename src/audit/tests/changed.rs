//! A log that somebody changed.

use super::*;

#[tokio::test]
async fn whatever_is_changed_is_found_and_named() {
    let open = |kept: &Kept, n: usize| kept.files().segments().unwrap()[n].path.clone();
    // Where each record of a segment begins and ends.
    let ranges = |path: &Path| {
        let bytes = fs::read(path).unwrap();
        let mut at = crate::ledger::HEADER;
        let mut found = Vec::new();
        while let Ok(frame) = crate::ledger::read_frame(&bytes[at..]) {
            found.push((frame.sequence, at..at + frame.size()));
            at += frame.size();
        }
        (bytes, found)
    };
    // A bit of the fifth record.
    let kept = Kept::new();
    kept.write(20, 20).await;
    let path = open(&kept, 0);
    let (bytes, found) = ranges(&path);
    let (sequence, range) = found[5].clone();
    let mut other = bytes.clone();
    other[range.start + 70] ^= 4;
    fs::write(&path, &other).unwrap();
    kept.broken(sequence, &path, "damaged");
    // The record is gone.
    let mut other = bytes.clone();
    other.drain(range.clone());
    fs::write(&path, &other).unwrap();
    kept.broken(sequence, &path, "missing");
    // It and the next have changed places.
    let (_, next) = found[6].clone();
    let mut other = bytes[..range.start].to_vec();
    other.extend(&bytes[next.clone()]);
    other.extend(&bytes[range.clone()]);
    other.extend(&bytes[next.end..]);
    fs::write(&path, &other).unwrap();
    kept.broken(sequence, &path, "reordered");
    // The tail is cut, between records and within one.
    for end in [range.end, range.end + 9] {
        fs::write(&path, &bytes[..end]).unwrap();
        kept.broken(sequence + 1, &path, "cut");
    }
    // The tail is cut, and the note of it as well; somebody else had noted the end.
    fs::write(&path, &bytes).unwrap();
    let last = verify(&kept.files(), None, None).unwrap().last;
    fs::write(&path, &bytes[..range.end]).unwrap();
    fs::remove_file(kept.dir().join("head")).unwrap();
    let anchor = Some((last.sequence, last.hash));
    let broken = verify(&kept.files(), None, anchor).unwrap_err();
    assert!(broken.what.contains("cut"), "{broken}");
    // Another key.
    fs::write(&path, &bytes).unwrap();
    let broken = verify(&kept.files(), Some([9; 32]), None).unwrap_err();
    assert!(broken.what.contains("signature"), "{broken}");

    // A whole segment is lost: in the middle, and the first.
    let kept = Kept::new();
    kept.write(30, 10).await;
    let (first, second) = (open(&kept, 0), open(&kept, 1));
    let third = open(&kept, 2);
    let from = ranges(&second).1[0].0;
    let saved = fs::read(&second).unwrap();
    fs::remove_file(&second).unwrap();
    kept.broken(from, &third, "missing before this segment");
    fs::write(&second, saved).unwrap();
    fs::remove_file(&first).unwrap();
    kept.broken(1, &second, "records 1 to");
}

/// Who can write the files can make checksums and hashes right again, but not the signatures.
#[tokio::test]
async fn a_rewritten_chain_does_not_have_the_signatures() {
    let kept = Kept::new();
    kept.write(10, 10).await;
    let path = kept.files().segments().unwrap()[0].path.clone();
    let bytes = fs::read(&path).unwrap();
    let mut chain = crate::ledger::chain_before(&path, &bytes).unwrap();
    let (header, mut rest) = bytes.split_at(crate::ledger::HEADER);
    let mut forged = header.to_vec();
    let mut n = 0;
    while let Ok(frame) = crate::ledger::read_frame(rest) {
        let mut payload = frame.payload.to_vec();
        if n == 1 {
            // Somebody else asked.
            let at = payload
                .windows(10)
                .position(|it| it == b"orders-api")
                .unwrap();
            payload[at] = b'O';
        }
        crate::ledger::testing::forge(
            &mut forged,
            &mut chain,
            frame.durable,
            &payload,
            frame.loose,
        );
        rest = &rest[frame.size()..];
        n += 1;
    }
    fs::write(&path, &forged).unwrap();
    let broken = verify(&kept.files(), None, None).unwrap_err();
    assert!(broken.what.contains("signature"), "{broken}");
}
