//! File descriptors that travel with the bytes of a stream socket (`SCM_RIGHTS`, unix(7)).
//!
//! A message's descriptors go with its first bytes; the kernel keeps them apart from those of the next
//! message. The receiver owns what came: what it does not want it closes by dropping. Descriptors that
//! come beyond [`DESCRIPTORS_MAX`] at once are closed by the kernel and reported as lost.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// The most descriptors of one message: what the kernel takes (`SCM_MAX_FD`).
pub const DESCRIPTORS_MAX: usize = 253;

/// Sends the first bytes of `bytes` with all of `descriptors`; how many bytes went.
///
/// # Errors
///
/// What `sendmsg` said; `InvalidInput` for more than [`DESCRIPTORS_MAX`].
pub fn send(socket: impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    loop {
        let sent = sendmsg(
            &socket,
            &[IoSlice::new(bytes)],
            &mut control,
            SendFlags::NOSIGNAL,
        );
        match sent {
            Err(rustix::io::Errno::INTR) => {}
            sent => return Ok(sent?),
        }
    }
}

/// Reads bytes and the descriptors that came with them, which are added to `descriptors`; how many bytes,
/// 0 at the end. A call interrupted by a signal is made again.
///
/// # Errors
///
/// What `recvmsg` said; `WouldBlock` where nothing has come on a socket that does not block.
/// `InvalidData` when descriptors were lost because there were too many: the message has no meaning then.
pub fn receive(
    socket: impl AsFd,
    bytes: &mut [u8],
    descriptors: &mut Vec<OwnedFd>,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        let received = recvmsg(
            &socket,
            &mut [IoSliceMut::new(bytes)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        );
        match received {
            Err(rustix::io::Errno::INTR) => {}
            received => break received?,
        }
    };
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(came) = message {
            descriptors.extend(came);
        }
    }
    if received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(received.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;

    fn pipes(count: usize) -> (Vec<io::PipeReader>, Vec<io::PipeWriter>) {
        (0..count).map(|_| io::pipe().expect("a pipe")).unzip()
    }

    #[test]
    fn descriptors_come_with_their_message_and_no_other() {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let (mut readers, writers) = pipes(2);
        for (number, writer) in writers.iter().enumerate() {
            let text = format!("call {number}");
            let sent = send(&ours, text.as_bytes(), &[writer.as_fd()]).expect("sent");
            assert_eq!(sent, 6);
        }
        drop(writers);
        for (number, reader) in readers.iter_mut().enumerate() {
            let (mut bytes, mut came) = ([0; 64], Vec::new());
            let count = receive(&theirs, &mut bytes, &mut came).expect("a message");
            assert_eq!(bytes[..count], *format!("call {number}").as_bytes());
            let came: [OwnedFd; 1] = came.try_into().expect("one descriptor");
            let [writer] = came.map(io::PipeWriter::from);
            (&writer).write_all(b"through").expect("open");
            drop(writer);
            let mut text = String::new();
            reader.read_to_string(&mut text).expect("ended");
            assert_eq!(text, "through", "it is the descriptor of that message");
        }
    }

    #[test]
    fn the_end_is_the_end_and_too_many_are_refused() {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let (readers, _writers) = pipes(1);
        let many = vec![readers[0].as_fd(); DESCRIPTORS_MAX + 1];
        let error = send(&ours, b"x", &many).expect_err("too many");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(send(&ours, b"x", &many[1..]).expect("the most"), 1);
        drop(ours);
        let (mut bytes, mut came) = ([0; 8], Vec::new());
        assert_eq!(receive(&theirs, &mut bytes, &mut came).expect("bytes"), 1);
        assert_eq!(came.len(), DESCRIPTORS_MAX);
        assert_eq!(receive(&theirs, &mut bytes, &mut came).expect("the end"), 0);
    }
}
