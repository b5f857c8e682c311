//! HTML of the page: the form, and a template with the flows and sentences that its script shows.
//!
//! Every value is a constant of the program or a number, and none needs to be escaped.

use std::fmt;

use goat_core::password::PasswordPolicy;

use super::flows::{FLOWS, Flow};
use super::texts::{FlowTexts, Texts};

/// The page in one language, for one mount.
pub(super) struct Page<'a> {
    pub(super) texts: &'a Texts,
    /// Whether the mount keeps sessions in cookies.
    pub(super) has_cookies: bool,
    pub(super) has_sign_in_page: bool,
    pub(super) passwords: &'a PasswordPolicy,
}

impl fmt::Display for Page<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Texts { language, title, password, show_password, code, recovery_code, .. } =
            self.texts;
        let Texts { no_link, no_script, .. } = self.texts;
        let rule = self.rule();
        write!(
            out,
            "<!doctype html>\n<html lang=\"{language}\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <meta name=\"robots\" content=\"noindex\">\n<title>{title}</title>\n\
             <link rel=\"stylesheet\" href=\"link/page.css\">\n\
             <script src=\"link/page.js\" defer></script>\n</head>\n<body>\n<main>\n\
             <p id=\"site\"></p>\n<h1 id=\"title\" tabindex=\"-1\">{title}</h1>\n\
             <p id=\"about\">{no_link}</p>\n<p id=\"alert\" role=\"alert\"></p>\n\
             <form id=\"form\" novalidate hidden>\n<div id=\"password-field\">\n\
             <label for=\"password\">{password}</label>\n\
             <input id=\"password\" type=\"password\" autocomplete=\"new-password\" \
             autocapitalize=\"none\" spellcheck=\"false\" aria-describedby=\"password-rule\">\n\
             <p id=\"password-rule\">{rule}</p>\n\
             <label id=\"show-field\"><input id=\"show\" type=\"checkbox\"> {show_password}</label>\n\
             </div>\n<div id=\"code-field\">\n<label for=\"code\">{code}</label>\n\
             <input id=\"code\" autocomplete=\"one-time-code\" autocapitalize=\"characters\" \
             spellcheck=\"false\">\n</div>\n<button></button>\n</form>\n\
             <p id=\"done\" role=\"status\"></p>\n"
        )?;
        if self.has_sign_in_page {
            let sign_in = self.texts.sign_in;
            writeln!(out, "<p id=\"next\" hidden><a href=\"../login\">{sign_in}</a></p>")?;
        }
        write!(out, "<noscript><p>{no_script}</p></noscript>\n</main>\n<template id=\"texts\">\n")?;
        for (flow, texts) in FLOWS.iter().zip(&self.texts.flows) {
            self.flow(out, flow, texts)?;
        }
        writeln!(out, "<p data-text=\"recovery-code\">{recovery_code}</p>")?;
        for (code, sentence) in self.texts.problems {
            writeln!(out, "<p data-text=\"{code}\">{sentence}</p>")?;
        }
        for (rule, sentence) in self.texts.rules {
            writeln!(out, "<p data-rule=\"{rule}\">{sentence}</p>")?;
        }
        out.write_str("</template>\n</body>\n</html>\n")
    }
}

impl Page<'_> {
    /// Writes the texts of a flow. Without a button the script shows no form.
    fn flow(&self, out: &mut fmt::Formatter<'_>, flow: &Flow, texts: &FlowTexts) -> fmt::Result {
        let Flow { purpose, path, session, .. } = flow;
        let FlowTexts { title, about, without_cookies, button, done_title, done } = texts;
        if session.needs_cookies() && !self.has_cookies {
            return writeln!(
                out,
                "<section data-purpose=\"{purpose}\">\n<h1>{title}</h1>\n\
                 <p class=\"about\">{without_cookies}</p>\n</section>"
            );
        }
        let session = session.name();
        write!(
            out,
            "<section data-purpose=\"{purpose}\" data-path=\"{path}\" data-session=\"{session}\""
        )?;
        let members = [
            ("password", flow.password),
            ("code", flow.code),
            ("recovery-code", flow.recovery_code),
        ];
        for (name, member) in members {
            if let Some(member) = member {
                write!(out, " data-{name}=\"{member}\"")?;
            }
        }
        writeln!(
            out,
            ">\n<h1>{title}</h1>\n<p class=\"about\">{about}</p>\n<button>{button}</button>\n\
             <h1 class=\"done\">{done_title}</h1>\n<p class=\"done\">{done}</p>\n</section>"
        )
    }

    /// Returns the rule of new passwords.
    fn rule(&self) -> String {
        let [minimum, maximum] = [self.passwords.minimum(), self.passwords.maximum()];
        let rule = self.texts.password_rule.replace("{minimum}", &minimum.to_string());
        rule.replace("{maximum}", &maximum.to_string())
    }
}
