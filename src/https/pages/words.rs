//! What the gate's own pages say, in the languages it knows, and which of them a browser wants.
//!
//! Texts only: `{n}` and the like stand for what the page fills in. All of it is put into pages as text, so `&` is `&`.

/// One language.
pub struct Words {
    /// As `lang` says it.
    pub lang: &'static str,
    pub starting: &'static str,
    pub starting_say: &'static str,
    pub asleep_say: &'static str,
    pub booting_say: &'static str,
    pub services_say: &'static str,
    /// What stands in the way follows it.
    pub trouble_say: &'static str,
    pub hub_say: &'static str,
    pub full: &'static str,
    pub next_say: &'static str,
    /// `{n}`: the place in the line.
    pub line_say: &'static str,
    pub crowd_say: &'static str,
    pub ready_say: &'static str,
    /// `{n}`: seconds.
    pub left_more: &'static str,
    pub longer_more: &'static str,
    /// `{n}`: seconds.
    pub another_more: &'static str,
    pub steps: [&'static str; 3],
    pub by_itself: &'static str,
    pub form_not_sent: &'static str,
    pub ask_now: &'static str,
    pub silent: &'static str,
    pub silent_say: &'static str,
    pub lost: &'static str,
    pub lost_say: &'static str,
    pub lost_more: &'static str,
    pub notice: &'static str,
    pub deadline: &'static str,
    pub go_on: &'static str,
    pub visit: &'static str,
    /// `{name}`: whose server it is.
    pub visit_say: &'static str,
    pub visit_more: &'static str,
    pub visit_own: &'static str,
    pub share: &'static str,
    pub share_say: &'static str,
    pub share_none: &'static str,
}

const ENGLISH: Words = Words {
    lang: "en",
    starting: "Your machine is being prepared",
    starting_say: "No machine is ready yet. One is starting or being repaired.",
    asleep_say: "The pool is asleep. A machine is being woken for you.",
    booting_say: "A machine is starting for you.",
    services_say: "The machine runs. Its services are starting.",
    trouble_say: "No machine could be started yet. It is tried again by itself:",
    hub_say: "The machine runs. JupyterHub is starting on it.",
    full: "Every machine is in use",
    next_say: "You are next in line.",
    line_say: "You are number {n} in line.",
    crowd_say: "Very many people are waiting. This page asks again by itself.",
    ready_say: "A place is ready. Going on …",
    left_more: "About {n} seconds left.",
    longer_more: "This takes longer than usual.",
    another_more: "Another machine is starting: about {n} seconds left.",
    steps: ["Machine", "JupyterHub", "Ready"],
    by_itself: "This page goes on by itself. You can leave it open.",
    form_not_sent: "Your login was not sent on. The login form comes back when a machine is ready.",
    ask_now: "Try now",
    silent: "Your machine does not answer",
    silent_say: "It may be back in a moment. If not, you are taken to another one.",
    lost: "Your machine was lost",
    lost_say: "The machine you worked on has failed or was replaced, and what ran on it has ended. Another one is ready for you.",
    lost_more: "Files in your home folder are as you last saved them. You may have to log in again.",
    notice: "A message from the operators",
    deadline: "Deadline",
    go_on: "Continue",
    visit: "This server is on another machine",
    visit_say: "{name} works on another machine of this pool.",
    visit_more: "To see their server you log in there once more. Your own server goes on running, and so do its open tabs.",
    visit_own: "Back to my own pages",
    share: "Whose server does this link open?",
    share_say: "Your machine does not know this sharing link. It belongs to the machine of whoever gave it to you: say by which name they log in.",
    share_none: "Nobody of this name is on another machine. The link may be over: ask for a new one.",
};

const GERMAN: Words = Words {
    lang: "de",
    starting: "Ihr Rechner wird vorbereitet",
    starting_say: "Noch ist kein Rechner bereit. Einer startet oder wird gerade repariert.",
    asleep_say: "Der Pool schläft. Ein Rechner wird für Sie geweckt.",
    booting_say: "Ein Rechner startet für Sie.",
    services_say: "Der Rechner läuft. Seine Dienste starten.",
    trouble_say: "Noch konnte kein Rechner gestartet werden. Es wird von selbst wieder versucht:",
    hub_say: "Der Rechner läuft. JupyterHub startet darauf.",
    full: "Alle Rechner sind belegt",
    next_say: "Sie sind als Nächstes an der Reihe.",
    line_say: "Sie sind Nummer {n} in der Warteschlange.",
    crowd_say: "Sehr viele Leute warten. Diese Seite fragt von selbst wieder nach.",
    ready_say: "Ein Platz ist frei. Es geht weiter …",
    left_more: "Noch etwa {n} Sekunden.",
    longer_more: "Es dauert länger als üblich.",
    another_more: "Ein weiterer Rechner startet: noch etwa {n} Sekunden.",
    steps: ["Rechner", "JupyterHub", "Bereit"],
    by_itself: "Diese Seite geht von selbst weiter. Sie können sie offen lassen.",
    form_not_sent: "Ihre Anmeldung wurde nicht weitergegeben. Das Anmeldeformular kommt wieder, sobald ein Rechner bereit ist.",
    ask_now: "Jetzt versuchen",
    silent: "Ihr Rechner antwortet nicht",
    silent_say: "Vielleicht ist er gleich wieder da. Wenn nicht, kommen Sie auf einen anderen.",
    lost: "Ihr Rechner ist ausgefallen",
    lost_say: "Der Rechner, auf dem Sie gearbeitet haben, ist ausgefallen oder wurde ersetzt, und was darauf lief, ist beendet. Ein anderer steht für Sie bereit.",
    lost_more: "Dateien in Ihrem Home-Verzeichnis sind so, wie Sie sie zuletzt gespeichert haben. Eventuell müssen Sie sich neu anmelden.",
    notice: "Eine Nachricht der Betreiber",
    deadline: "Frist",
    go_on: "Weiter",
    visit: "Dieser Server ist auf einem anderen Rechner",
    visit_say: "{name} arbeitet auf einem anderen Rechner dieses Pools.",
    visit_more: "Um den Server zu sehen, melden Sie sich dort noch einmal an. Ihr eigener läuft weiter, und seine offenen Tabs ebenso.",
    visit_own: "Zurück zu meinen eigenen Seiten",
    share: "Wessen Server öffnet dieser Link?",
    share_say: "Ihr Rechner kennt diesen Freigabe-Link nicht. Er gehört zum Rechner der Person, von der Sie ihn haben: Geben Sie an, mit welchem Namen sie sich anmeldet.",
    share_none: "Unter diesem Namen ist niemand auf einem anderen Rechner. Der Link ist vielleicht abgelaufen: Bitten Sie um einen neuen.",
};

const FRENCH: Words = Words {
    lang: "fr",
    starting: "Votre machine est en préparation",
    starting_say: "Aucune machine n’est encore prête. Une machine démarre ou est en réparation.",
    asleep_say: "Le groupe est en veille. Une machine est réveillée pour vous.",
    booting_say: "Une machine démarre pour vous.",
    services_say: "La machine fonctionne. Ses services démarrent.",
    trouble_say: "Aucune machine n’a encore pu démarrer. Une nouvelle tentative aura lieu d’elle-même :",
    hub_say: "La machine fonctionne. JupyterHub y démarre.",
    full: "Toutes les machines sont occupées",
    next_say: "C’est bientôt votre tour : vous êtes en tête de la file.",
    line_say: "Vous êtes au rang {n} de la file d’attente.",
    crowd_say: "De très nombreuses personnes attendent. Cette page redemande d’elle-même.",
    ready_say: "Une place est libre. On continue …",
    left_more: "Encore {n} secondes environ.",
    longer_more: "C’est plus long que d’habitude.",
    another_more: "Une autre machine démarre : encore {n} secondes environ.",
    steps: ["Machine", "JupyterHub", "Prêt"],
    by_itself: "Cette page continue d’elle-même. Vous pouvez la laisser ouverte.",
    form_not_sent: "Votre identification n’a pas été transmise. Le formulaire reviendra dès qu’une machine sera prête.",
    ask_now: "Essayer maintenant",
    silent: "Votre machine ne répond pas",
    silent_say: "Elle sera peut-être de retour dans un instant. Sinon, vous serez conduit vers une autre.",
    lost: "Votre machine est perdue",
    lost_say: "La machine sur laquelle vous travailliez est tombée en panne ou a été remplacée, et ce qui y tournait est terminé. Une autre vous attend.",
    lost_more: "Les fichiers de votre dossier personnel sont tels que vous les avez enregistrés. Il faudra peut-être vous identifier de nouveau.",
    notice: "Un message des opérateurs",
    deadline: "Échéance",
    go_on: "Continuer",
    visit: "Ce serveur est sur une autre machine",
    visit_say: "{name} travaille sur une autre machine de ce groupe.",
    visit_more: "Pour voir ce serveur, vous vous identifiez là-bas encore une fois. Le vôtre continue de tourner, et ses onglets ouverts aussi.",
    visit_own: "Retour à mes propres pages",
    share: "De qui est le serveur que ce lien ouvre ?",
    share_say: "Votre machine ne connaît pas ce lien de partage. Il appartient à la machine de la personne qui vous l’a donné : indiquez le nom avec lequel elle s’identifie.",
    share_none: "Personne de ce nom n’est sur une autre machine. Le lien a peut-être expiré : demandez-en un nouveau.",
};

const SPANISH: Words = Words {
    lang: "es",
    starting: "Se está preparando su máquina",
    starting_say: "Todavía no hay ninguna máquina lista. Una está arrancando o en reparación.",
    asleep_say: "El grupo está en reposo. Se está despertando una máquina para usted.",
    booting_say: "Una máquina está arrancando para usted.",
    services_say: "La máquina funciona. Sus servicios están arrancando.",
    trouble_say: "Todavía no se ha podido arrancar ninguna máquina. Se volverá a intentar por sí solo:",
    hub_say: "La máquina funciona. JupyterHub está arrancando en ella.",
    full: "Todas las máquinas están ocupadas",
    next_say: "Usted es el siguiente de la cola.",
    line_say: "Usted es el número {n} de la cola.",
    crowd_say: "Hay muchísimas personas esperando. Esta página vuelve a preguntar por sí sola.",
    ready_say: "Hay un lugar libre. Continuamos …",
    left_more: "Quedan unos {n} segundos.",
    longer_more: "Está tardando más de lo habitual.",
    another_more: "Otra máquina está arrancando: quedan unos {n} segundos.",
    steps: ["Máquina", "JupyterHub", "Listo"],
    by_itself: "Esta página continúa por sí sola. Puede dejarla abierta.",
    form_not_sent: "Sus datos de acceso no se han enviado. El formulario volverá cuando haya una máquina lista.",
    ask_now: "Probar ahora",
    silent: "Su máquina no responde",
    silent_say: "Quizá vuelva en un momento. Si no, pasará usted a otra.",
    lost: "Su máquina se ha perdido",
    lost_say: "La máquina en la que trabajaba ha fallado o fue sustituida, y lo que se ejecutaba en ella ha terminado. Hay otra lista para usted.",
    lost_more: "Los archivos de su carpeta personal están como los guardó por última vez. Quizá tenga que volver a identificarse.",
    notice: "Un mensaje de los operadores",
    deadline: "Plazo",
    go_on: "Continuar",
    visit: "Este servidor está en otra máquina",
    visit_say: "{name} trabaja en otra máquina de este grupo.",
    visit_more: "Para ver su servidor, inicie sesión allí una vez más. El suyo sigue en marcha, y sus pestañas abiertas también.",
    visit_own: "Volver a mis propias páginas",
    share: "¿De quién es el servidor que abre este enlace?",
    share_say: "Su máquina no conoce este enlace compartido. Pertenece a la máquina de quien se lo dio: indique con qué nombre inicia sesión esa persona.",
    share_none: "Nadie con este nombre está en otra máquina. Quizá el enlace haya caducado: pida uno nuevo.",
};

const JAPANESE: Words = Words {
    lang: "ja",
    starting: "マシンを準備しています",
    starting_say: "まだ使えるマシンがありません。起動中または復旧中です。",
    asleep_say: "プールは休止中です。マシンを起動する準備をしています。",
    booting_say: "マシンを起動しています。",
    services_say: "マシンは起動しました。サービスを開始しています。",
    trouble_say: "まだマシンを起動できていません。自動的に再試行します。理由:",
    hub_say: "マシンは起動しました。JupyterHub を起動しています。",
    full: "すべてのマシンが使用中です",
    next_say: "次はあなたの番です。",
    line_say: "現在 {n} 番目にお待ちいただいています。",
    crowd_say: "大変多くの方がお待ちです。このページは自動的に再確認します。",
    ready_say: "準備ができました。続行します…",
    left_more: "残り約 {n} 秒です。",
    longer_more: "通常より時間がかかっています。",
    another_more: "別のマシンを起動しています。残り約 {n} 秒です。",
    steps: ["マシン", "JupyterHub", "準備完了"],
    by_itself: "このページは自動的に先へ進みます。開いたままお待ちください。",
    form_not_sent: "ログイン情報は送信されていません。マシンの準備ができ次第、ログイン画面に戻ります。",
    ask_now: "今すぐ試す",
    silent: "マシンが応答しません",
    silent_say: "まもなく復帰する可能性があります。復帰しない場合は別のマシンにご案内します。",
    lost: "ご利用のマシンが失われました",
    lost_say: "作業していたマシンが故障したか、別のマシンに置き換えられたため、実行中の処理は終了しました。別のマシンをご用意しました。",
    lost_more: "ホームフォルダーのファイルは、最後に保存した状態のまま残っています。再度ログインが必要な場合があります。",
    notice: "運営者からのお知らせ",
    deadline: "期限",
    go_on: "続ける",
    visit: "このサーバーは別のマシンにあります",
    visit_say: "{name} さんはこのプールの別のマシンで作業しています。",
    visit_more: "そのサーバーを見るには、そちらでもう一度ログインします。ご自分のサーバーは動き続け、開いているタブもそのまま使えます。",
    visit_own: "自分のページに戻る",
    share: "このリンクはどなたのサーバーを開くものですか?",
    share_say: "お使いのマシンはこの共有リンクを知りません。リンクをくれた方のマシンのものです。その方のログイン名を入力してください。",
    share_none: "この名前の方は別のマシンにいません。リンクの期限が切れた可能性があります。新しいリンクを依頼してください。",
};

/// The first is for whoever wants none of them.
pub static LANGUAGES: [Words; 5] = [ENGLISH, JAPANESE, GERMAN, FRENCH, SPANISH];

/// Of more than so many parts none is read.
const MAX_PARTS: usize = 20;

/// The language that `Accept-Language` likes best of those there are (RFC 9110 12.5.4); of equals the first named.
pub fn wanted(accept_language: &str) -> &'static Words {
    let mut best: Option<(&'static Words, u32)> = None;
    for part in accept_language.split(',').take(MAX_PARTS) {
        let (range, quality) = part.split_once(';').unwrap_or((part, ""));
        let primary = range.trim().split('-').next().unwrap_or_default();
        let known = LANGUAGES
            .iter()
            .find(|words| words.lang.eq_ignore_ascii_case(primary));
        let quality = thousandths(quality.trim());
        if let Some(words) = known
            && quality > best.map_or(0, |(_, quality)| quality)
        {
            best = Some((words, quality));
        }
    }
    let [english, ..] = &LANGUAGES;
    best.map_or(english, |(words, _)| words)
}

/// `q=0.7` as 700; 1000 where nothing is said, and 0 for what is no number.
fn thousandths(quality: &str) -> u32 {
    let Some((name, value)) = quality.split_once('=') else {
        return if quality.is_empty() { 1000 } else { 0 };
    };
    if !name.trim().eq_ignore_ascii_case("q") {
        return 0;
    }
    let (whole, fraction) = value.trim().split_once('.').unwrap_or((value.trim(), ""));
    let digits = fraction.get(..3.min(fraction.len())).unwrap_or_default();
    let padded = format!("{digits:0<3}");
    match (whole.parse::<u32>(), padded.parse::<u32>()) {
        (Ok(whole @ 0..=1), Ok(fraction)) => (whole * 1000 + fraction).min(1000),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_liked_language_is_chosen() {
        for (header, lang) in [
            ("", "en"),
            ("ja", "ja"),
            ("de-CH,de;q=0.9,en;q=0.8", "de"),
            ("pt-BR, FR-ca;q=0.7, en;q=0.5", "fr"),
            ("en;q=0.5, es;q=0.50, ja;q=0.501", "ja"),
            ("en-GB,ja;q=1.0", "en"),
            ("zh-TW,*", "en"),
            ("de;q=0", "en"),
            ("de;q=x, fr;q=0.1", "fr"),
            ("de;level=1, es;q=0.2", "es"),
            (";;;,=,q=1,é;q=0.é,\u{0},de", "de"),
        ] {
            assert_eq!(wanted(header).lang, lang, "{header:?}");
        }
    }

    #[test]
    fn every_language_says_everything_and_keeps_the_places_to_fill() {
        for words in &LANGUAGES {
            assert!(words.line_say.contains("{n}"), "{}", words.lang);
            assert!(words.left_more.contains("{n}"), "{}", words.lang);
            assert!(words.another_more.contains("{n}"), "{}", words.lang);
            assert!(words.visit_say.contains("{name}"), "{}", words.lang);
            assert!(words.steps.iter().all(|step| !step.is_empty()));
        }
    }
}
