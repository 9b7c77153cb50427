// Evaluates expressions where a page does: in Chromium, or in this process, whose WebSocket tells as little.
//
//     driver.mjs chromium PROFILE           a page is an address
//     driver.mjs node                       a page is a module; its exports are there by their names
//
// Reads a line of JSON, {"page", "expression"}, and answers with one: {"value"} or {"error"}. Ends with its input.
import { createInterface } from "node:readline";

const [kind, profile] = process.argv.slice(2);
const pages = new Map();

async function chromium() {
    const { chromium } = await import(process.env.PLAYWRIGHT);
    const context = await chromium.launchPersistentContext(profile, {
        executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
        headless: true,
        args: [
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ],
    });
    return {
        async open(address) {
            const page = await context.newPage();
            await page.goto(address, { waitUntil: "load" });
            return (expression) => page.evaluate(expression);
        },
        close: () => context.close(),
    };
}

async function node() {
    return {
        async open(module) {
            Object.assign(globalThis, await import(module));
            return (expression) => new Function(`return ${expression}`)();
        },
        close() {},
    };
}

const browser = await (kind === "chromium" ? chromium() : node());
for await (const line of createInterface({ input: process.stdin })) {
    const { page, expression } = JSON.parse(line);
    let answer;
    try {
        if (!pages.has(page)) pages.set(page, await browser.open(page));
        answer = { value: (await pages.get(page)(expression)) ?? null };
    } catch (error) {
        answer = { error: String(error?.stack ?? error) };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await browser.close();
process.exit(0);
