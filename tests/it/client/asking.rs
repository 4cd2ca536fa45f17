use super::*;

#[tokio::test]
async fn a_question_whose_connection_breaks_is_asked_once_more_and_no_other() {
    let broken_once = world(ClientOptions::default(), |nth, _| match nth {
        0 => Behaviour::Break,
        _ => allow(),
    })
    .await;
    assert!(
        broken_once
            .client
            .check(CheckRequest::default())
            .await
            .is_ok()
    );
    assert_eq!(broken_once.asked.load(Ordering::SeqCst), 2);

    let broken = world(ClientOptions::default(), |_, _| Behaviour::Break).await;
    assert!(broken.client.check(CheckRequest::default()).await.is_err());
    assert_eq!(broken.asked.load(Ordering::SeqCst), 2);

    let refusing = world(ClientOptions::default(), |_, _| {
        Behaviour::Refuse(Code::Unavailable, "unavailable")
    })
    .await;
    assert!(
        refusing
            .client
            .check(CheckRequest::default())
            .await
            .is_err()
    );
    assert_eq!(refusing.asked.load(Ordering::SeqCst), 1, "an answer is one");

    let hanging = world(impatient(), |_, _| Behaviour::Hang).await;
    let late = hanging.client.check(CheckRequest::default()).await;
    assert!(matches!(late, Err(ClientError::Late(_))), "{late:?}");
}

#[tokio::test]
async fn an_answer_is_asked_for_again_unless_it_may_be_kept() {
    for (cache, seconds, asked) in [(0, 60, 2), (8, 0, 2), (8, 60, 1)] {
        let options = ClientOptions {
            cache,
            ..ClientOptions::default()
        };
        let world = world(options, move |_, _| {
            Behaviour::Answer(Box::new(Decision {
                cacheable_for: Some(prost_types::Duration { seconds, nanos: 0 }),
                ..decided(Outcome::Allow)
            }))
        })
        .await;
        let client = world.client.clone();
        for _ in 0..2 {
            assert!(
                client
                    .check(CheckRequest::default())
                    .await
                    .unwrap()
                    .is_allowed()
            );
        }
        let count = || world.asked.load(Ordering::SeqCst);
        assert_eq!(count(), asked, "{cache} {seconds}");
        let other = client.with_secret("another").unwrap();
        assert!(other.check(CheckRequest::default()).await.is_ok());
        assert_eq!(
            count(),
            asked + 1,
            "what one caller was told is not another's"
        );
    }
}
