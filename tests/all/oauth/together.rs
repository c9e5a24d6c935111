//! Several processes and their tokens: of those that need a new one at once one asks for it and all have it; who signs
//! in beside the one that polls is polled at once; and who is about to end asks for none.

use std::time::Duration;

use rustix::process::Signal;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use super::{ME, Scene};
use crate::ferry::{Ran, Running, message};
use crate::identity_provider::Mood;

#[tokio::test(flavor = "multi_thread")]
async fn of_two_processes_that_renew_at_once_one_does_and_the_other_waits_for_it() {
    let scene = Scene::new().await;
    scene.sign_in(&["work"]).await;
    let file = scene.ferry.folder().join("mailferry.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    scene.ferry.configure(&text.replace("deliver =", "every = \"1h\"\ndeliver ="));
    let mut daemon = scene.ferry.start(&["run"]);
    daemon.wait_for("account=work new=0").await;

    // The server takes the token of both no more, and the provider kills each refresh token that was used.
    scene.dovecot.put(ME, &[message(1)]);
    scene.provider.revoke_access();
    scene.provider.mood(Mood::Held);
    let (asked, disowned) = (scene.provider.asked().len(), scene.provider.disowned());
    let check = tokio::spawn(Ran::by(scene.ferry.command(&["check", "work"])));
    while scene.provider.asked().len() == asked {
        scene.provider.is_asked().await;
    }
    // The daemon has come as far as that, too.
    let fetch = tokio::spawn(Ran::by(scene.ferry.command(&["fetch", "work"])));
    scene.provider.has_disowned(disowned + 2).await;
    scene.provider.mood(Mood::Rotate);
    check.await.unwrap().expect_code(0);
    let ran = fetch.await.unwrap().expect_code(0);
    assert!(ran.stdout.contains("1 new, 1 delivered"), "{ran:?}");
    assert_eq!(scene.provider.asked().len(), asked + 1, "one has asked for both");
    // And what came of it is good for the next time.
    scene.provider.revoke_access();
    scene.ferry.run(&["fetch", "work"]).await.expect_code(0);
    assert_eq!(scene.provider.asked().len(), asked + 2);
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().await.code, 0);
}

/// Far less than an hour, also on a machine that is busy.
const AT_ONCE: Duration = Duration::from_secs(120);

/// What nobody is signed in for is tried once an hour, but at once when somebody has: with a daemon under way, and at
/// its start.
#[tokio::test(flavor = "multi_thread")]
async fn who_signs_in_beside_a_daemon_is_polled_at_once() {
    for is_under_way in [true, false] {
        let scene = Scene::both_by_oauth("Old").await;
        scene.dovecot.put(ME, &[message(1)]);
        let mut daemon = scene.ferry.start(&["run"]);
        daemon.wait_for("nobody has signed in yet; run `mailferry login work`").await;
        for (whom, then) in [
            (&["work"][..], "run `mailferry login --destination home`"),
            (&["--destination", "home"], "delivered=1"),
        ] {
            let under_way = if is_under_way { Some(daemon) } else { end(daemon).await };
            scene.sign_in(whom).await;
            daemon = under_way.unwrap_or_else(|| scene.ferry.start(&["run"]));
            let told = tokio::time::timeout(AT_ONCE, daemon.wait_for(then)).await;
            assert!(told.is_ok(), "{whom:?} is not polled, {is_under_way}");
        }
        assert_eq!(scene.dovecot.list(ME, "Old").len(), 1);
        end(daemon).await;
    }
}

async fn end(daemon: Running) -> Option<Running> {
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().await.code, 0);
    None
}

/// A poll that is asked to end while its server is slow to greet lists what there is, and reaches for its destination
/// no more.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_about_to_end_renews_no_token() {
    let scene = Scene::both_by_oauth("Old").await;
    let gate = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let slow = format!("port = {}\n", gate.local_addr().unwrap().port());
    let file = scene.ferry.folder().join("mailferry.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    scene.sign_in(&["work"]).await;
    scene.sign_in(&["--destination", "home"]).await;
    scene.dovecot.put(ME, &[message(1)]);
    scene.ferry.configure(&text.replacen(&format!("port = {}\n", scene.dovecot.pop3), &slow, 1));
    scene.provider.mood(Mood::Rotate);
    let mut daemon = scene.ferry.start(&["run"]);
    let (mut near, _) = gate.accept().await.unwrap();
    scene.provider.revoke_access();
    daemon.signal(Signal::TERM);
    daemon.wait_for("stopping").await;
    let asked = scene.provider.asked().len();
    let mut far = TcpStream::connect(("127.0.0.1", scene.dovecot.pop3)).await.unwrap();
    let _ = copy_bidirectional(&mut near, &mut far).await;
    drop((near, gate));
    assert_eq!(daemon.end().await.code, 0);
    assert_eq!(scene.provider.asked().len(), asked, "nobody was asked for another token");
    scene.ferry.configure(&text);
    scene.ferry.run(&["fetch"]).await.expect_code(0);
    assert_eq!(scene.dovecot.list(ME, "Old").len(), 1);
}
