//! Accepts with first data, silent clients among talking ones.

use std::collections::BTreeMap;
use std::time::Duration;

use overlapped::sim::{Faults, Peer};
use overlapped::{Accepted, Started, Status};

use crate::world::{Outcome, Socket, World, address, pattern, run, weather};

#[derive(Clone, Copy, PartialEq)]
enum Manner {
    Talks,
    Finishes,
    Breaks,
    StaysSilent,
}

struct Client {
    peer: Peer,
    manner: Manner,
    number: usize,
}

/// An accept that ended.
struct Ended {
    status: Status,
    accepted: Option<Accepted>,
    data: Vec<u8>,
}

struct Scene {
    world: World,
    listener: Socket,
    /// In the order of the starts.
    accepts: BTreeMap<u64, Option<Ended>>,
    tokens: Vec<Started>,
}

impl Scene {
    fn accept(&mut self) {
        let room = 1 + self.world.random.index(50);
        let operation = self.world.operation(Vec::with_capacity(room));
        let id = operation.user().id;
        let listener = self.listener.clone();
        let started = self
            .world
            .start(operation, |op| listener.accept_with_data(op))
            .expect("a listener accepts");
        self.accepts.insert(id, None);
        self.tokens.push(started);
    }

    fn waiting(&self) -> usize {
        self.accepts
            .values()
            .filter(|ended| ended.is_none())
            .count()
    }

    fn step(&mut self) {
        let timeout = self.world.moment(Duration::from_millis(20));
        let Some(mut packet) = self.world.get(timeout) else {
            return;
        };
        let accepted = packet.operation.take_accepted();
        assert_eq!(accepted.is_some(), packet.status.is_success());
        let ended = Ended {
            status: packet.status,
            accepted,
            data: packet.operation.bytes().to_vec(),
        };
        let before = self
            .accepts
            .insert(packet.operation.user().id, Some(ended))
            .expect("it was started");
        assert!(before.is_none());
    }

    fn steps_for(&mut self, time: Duration) {
        let until = self.world.network.now() + time;
        while self.world.network.now() < until {
            self.step();
        }
    }
}

fn scenario(seed: u64) -> Outcome {
    // Every other seed knows exactly which accept took which connection.
    let exact = seed.is_multiple_of(2);
    let mut faults = weather(seed / 2);
    if exact {
        // These fail accepts that have taken a connection already, and cannot be told apart.
        faults = Faults {
            register: 0,
            reset: 0,
            ..faults
        };
    }
    let mut world = World::new(seed, faults);
    let to = address("192.168.0.1:4567");
    let listener = world.network.listener(to);
    let listener = world.associate(listener, 0);
    let mut scene = Scene {
        world,
        listener,
        accepts: BTreeMap::new(),
        tokens: Vec::new(),
    };

    let mut clients = Vec::new();
    let wanted = 5 + scene.world.random.index(15);
    while clients.len() < wanted {
        scene.world.watch(Duration::from_secs(3600));
        let mut peer = scene.world.network.connect(to);
        while !peer.is_connected() {
            if peer.refused().is_some() {
                peer = scene.world.network.connect(to);
            }
            // Silent clients hold accepts, and failed ones are gone, so there is a need for more.
            if scene.world.random.chance(100) {
                scene.accept();
            }
            if !exact && scene.world.random.chance(50) && !scene.tokens.is_empty() {
                let which = scene.world.random.index(scene.tokens.len());
                let token = scene.tokens[which];
                if scene.listener.cancel(token) {
                    assert!(!scene.listener.cancel(token), "CX-2");
                }
            }
            scene.step();
        }
        if exact {
            // Until it is in the backlog, before the next one.
            scene.steps_for(Duration::from_secs(1));
        }
        let manner = [
            Manner::Talks,
            Manner::Talks,
            Manner::Finishes,
            Manner::Breaks,
            Manner::StaysSilent,
        ][scene.world.random.index(5)];
        let number = clients.len();
        if manner == Manner::Talks {
            peer.send(&pattern(number, 0, 10));
        }
        clients.push(Client {
            peer,
            manner,
            number,
        });
    }

    // AX-4: all who talk are served, however many silent ones came before them.
    let bound = scene.world.network.now() + Duration::from_secs(3600);
    let talking = clients
        .iter()
        .filter(|client| client.manner == Manner::Talks)
        .count();
    let served = |scene: &Scene| {
        let with_data = |ended: &&Ended| !ended.data.is_empty();
        scene.accepts.values().flatten().filter(with_data).count()
    };
    let settled = scene.world.network.now() + Duration::from_secs(60);
    while served(&scene) < talking && (exact || scene.world.network.now() < settled) {
        scene.world.watch(bound);
        if scene.waiting() < wanted + 3 && scene.world.random.chance(100) {
            scene.accept();
        }
        scene.step();
    }
    for client in &clients {
        match client.manner {
            Manner::Finishes => client.peer.finish(),
            Manner::Breaks => client.peer.reset(),
            Manner::Talks | Manner::StaysSilent => {}
        }
    }
    scene.steps_for(Duration::from_secs(5));

    // AX-8
    scene.listener.close();
    while !scene.world.started.is_empty() {
        scene.world.watch(bound);
        scene.step();
    }
    check(&scene, &clients, exact);
    drop(clients);
    let Scene {
        world,
        listener,
        accepts,
        ..
    } = scene;
    drop(accepts);
    drop(listener);
    world.finish()
}

fn check(scene: &Scene, clients: &[Client], exact: bool) {
    for ended in scene.accepts.values().flatten() {
        let Some(accepted) = &ended.accepted else {
            continue;
        };
        let from = accepted.peer_addr();
        let client = clients
            .iter()
            .find(|client| Some(client.peer.address()) == from);
        // One that was refused and came again is not among them.
        let Some(client) = client else { continue };
        assert!(
            pattern(client.number, 0, 10).starts_with(&ended.data),
            "somebody else's data"
        );
        match client.manner {
            Manner::Talks => assert!(!ended.data.is_empty(), "AX-4"),
            Manner::Finishes => assert!(ended.data.is_empty(), "AX-4: 0 bytes at the end"),
            Manner::Breaks | Manner::StaysSilent => panic!("AX-4: it was silent"),
        }
    }
    if !exact {
        return;
    }
    // AX-6: in the order of the accepts, those that did not fail for want of something took the
    // connections in the order in which they came.
    let took = scene.accepts.values().flatten().filter(|ended| {
        !matches!(
            ended.status,
            Status::TOO_MANY_OPENED_FILES | Status::INSUFFICIENT_RESOURCES
        )
    });
    let mut clients = clients.iter();
    for ended in took {
        match (clients.next(), &ended.accepted) {
            (Some(client), Some(accepted)) => {
                assert_eq!(accepted.peer_addr(), Some(client.peer.address()), "AX-6");
            }
            (Some(client), None) => match ended.status {
                Status::CONNECTION_RESET => assert!(client.manner == Manner::Breaks),
                Status::CANCELLED => assert!(client.manner == Manner::StaysSilent),
                status => panic!("{status:?}"),
            },
            (None, accepted) => {
                assert!(accepted.is_none());
                assert_eq!(ended.status, Status::CANCELLED, "AX-8");
            }
        }
    }
}

#[test]
fn silent_clients_hold_up_nobody() {
    run("silent_clients_hold_up_nobody", scenario, |counts| {
        counts.accept_failures > 0 && counts.register_failures > 0 && counts.refusals > 0
    });
}
