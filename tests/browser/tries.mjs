// What the tests of pages do there, beside the client of shared/README.md.

/** Opens a WebSocket and says what becomes of it: what came, and the code that it was closed with. */
export function upgrade(url, protocols) {
    return new Promise((resolve) => {
        const socket = new WebSocket(url, protocols);
        const tried = { opened: false, protocol: null, frames: [], code: null };
        socket.onopen = () => Object.assign(tried, { opened: true, protocol: socket.protocol });
        socket.onmessage = ({ data }) => tried.frames.push(JSON.parse(data));
        socket.onclose = ({ code }) => resolve({ ...tried, code });
        // Node's fires no close when it was never open.
        socket.onerror = () => tried.opened || resolve({ ...tried, code: 1006 });
    });
}

/** Opens a WebSocket that is let in, asks one thing, and closes it. */
export function call(url, protocols, endpoint) {
    return new Promise((resolve, reject) => {
        const socket = new WebSocket(url, protocols);
        const frames = [];
        socket.onopen = () => socket.send(JSON.stringify({ id: 1, endpoint }));
        socket.onmessage = ({ data }) => {
            frames.push(JSON.parse(data));
            if (frames.length === 2) {
                socket.close();
                resolve({ protocol: socket.protocol, frames });
            }
        };
        socket.onclose = ({ code }) => reject(new Error(`closed with ${code}`));
        socket.onerror = () => reject(new Error("an error"));
    });
}

/** Fetches an address as a page does: its status and text, or what the browser says instead. */
export async function read(url, headers) {
    try {
        const response = await fetch(url, { headers });
        return { status: response.status, type: response.headers.get("content-type"), text: await response.text() };
    } catch (error) {
        return { refused: error.name };
    }
}
