//! A way to a port that can be cut.

use std::{
    io,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// Passes connections on, until it is shut; then they are cut, and new ones end at once.
#[derive(Debug, Clone)]
pub struct Gate {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    shut: bool,
    streams: Vec<TcpStream>,
}

impl Gate {
    /// A gate in front of this port of the loopback interface.
    pub fn open(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(Mutex::new(State::default()));
        let gate = Self { address, state: Arc::clone(&state) };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut state = state.lock().expect("nobody has failed");
                let Ok(onward) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                if state.shut {
                    continue;
                }
                for (from, to) in [(&stream, &onward), (&onward, &stream)] {
                    let copy = |stream: &TcpStream| stream.try_clone().expect("a stream");
                    let (mut reader, mut writer) = (copy(from), copy(to));
                    state.streams.push(copy(from));
                    thread::spawn(move || {
                        // However it ends, it ends both ways.
                        let _ = io::copy(&mut reader, &mut writer);
                        let _ = writer.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        gate
    }

    /// Where to knock.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Cuts everything.
    pub fn shut(&self) {
        let mut state = self.state.lock().expect("nobody has failed");
        state.shut = true;
        for stream in state.streams.drain(..) {
            // One that has ended is as good.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Lets connections through again.
    pub fn reopen(&self) {
        self.state.lock().expect("nobody has failed").shut = false;
    }
}
