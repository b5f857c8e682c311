//! Bar charts as plain SVG, light or dark like the reader's screen. The same figures give the same
//! bytes.

use std::fmt::Write as _;

/// A ratio between 0 and 1, with the earlier one and the goal.
pub(crate) struct Bar {
    pub(crate) label: String,
    pub(crate) now: f64,
    pub(crate) before: Option<f64>,
    pub(crate) goal: Option<f64>,
}

const WIDTH: f64 = 760.0;
const MARGIN: f64 = 20.0;
const TOP: f64 = 64.0;
const ROW: f64 = 48.0;

const STYLE: &str = "
  rect.page { fill: #ffffff } text { fill: #1f2328; font: 13px system-ui, sans-serif }
  text.title { font-size: 15px; font-weight: 600 } text.small { fill: #59636e; font-size: 11px }
  line.grid { stroke: #d1d9e0 } line.goal { stroke: #bc4c00; stroke-width: 2 }
  rect.now { fill: #0969da } rect.before { fill: #afb8c1 }
  @media (prefers-color-scheme: dark) {
    rect.page { fill: #0d1117 } text { fill: #f0f6fc } text.small { fill: #9198a1 }
    line.grid { stroke: #3d444d } line.goal { stroke: #f0883e }
    rect.now { fill: #4493f8 } rect.before { fill: #656c76 }
  }
";

/// Draws horizontal bars of ratios.
pub(crate) fn bars(title: &str, bars: &[Bar]) -> String {
    let height = TOP + ROW * bars.len() as f64 + 24.0;
    let most =
        bars.iter().flat_map(|bar| [Some(bar.now), bar.before]).flatten().fold(1.0, f64::max);
    let x = |value: f64| MARGIN + (WIDTH - 3.0 * MARGIN) * value / most;
    let mut svg = String::new();
    let mut put = |line: std::fmt::Arguments<'_>| svg.write_fmt(line).expect("a text grows");
    put(format_args!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\n<title>{}</title>\n\
         <style>{STYLE}</style>\n<rect class=\"page\" width=\"{WIDTH}\" height=\"{height}\"/>\n",
        escaped(title)
    ));
    put(format_args!("{}", text(MARGIN, 26.0, "title", title)));
    put(format_args!("{}", legend(bars)));
    for step in 0..=4 {
        let value = f64::from(step) / 4.0;
        let (x, bottom) = (x(value), TOP + ROW * bars.len() as f64);
        put(format_args!(
            "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>\n"
        ));
        put(format_args!("{}", text(x, bottom + 16.0, "small", &format!("{value:.2}"))));
    }
    for (place, bar) in bars.iter().enumerate() {
        let y = TOP + ROW * place as f64;
        put(format_args!("{}", text(MARGIN + 4.0, y + 14.0, "", &bar.label)));
        let mut rectangle = |class: &str, value: f64, y: f64, height: f64| {
            put(format_args!(
                "<rect class=\"{class}\" x=\"{MARGIN}\" y=\"{y:.1}\" width=\"{:.1}\" \
                 height=\"{height}\"/>\n",
                x(value) - MARGIN
            ));
            put(format_args!(
                "{}",
                text(x(value) + 5.0, y + height, "small", &format!("{value:.2}"))
            ));
        };
        rectangle("now", bar.now, y + 20.0, 11.0);
        if let Some(before) = bar.before {
            rectangle("before", before, y + 33.0, 8.0);
        }
        if let Some(goal) = bar.goal {
            put(format_args!(
                "<line class=\"goal\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>\n",
                y + 17.0,
                y + 42.0,
                x = x(goal)
            ));
        }
    }
    svg.push_str("</svg>\n");
    svg
}

fn legend(bars: &[Bar]) -> String {
    let mut svg = String::new();
    let mut x = MARGIN;
    let mut entry = |class: &str, name: &str| {
        write!(
            svg,
            "<rect class=\"{class}\" x=\"{x}\" y=\"40\" width=\"12\" height=\"10\"/>\n{}",
            text(x + 17.0, 49.0, "small", name)
        )
        .expect("a text grows");
        x += 80.0;
    };
    entry("now", "now");
    if bars.iter().any(|bar| bar.before.is_some()) {
        entry("before", "before");
    }
    if bars.iter().any(|bar| bar.goal.is_some()) {
        write!(
            svg,
            "<line class=\"goal\" x1=\"{x}\" x2=\"{x}\" y1=\"38\" y2=\"52\"/>\n{}",
            text(x + 6.0, 49.0, "small", "goal")
        )
        .expect("a text grows");
    }
    svg
}

fn text(x: f64, y: f64, class: &str, content: &str) -> String {
    let content = escaped(content);
    format!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{content}</text>\n")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
