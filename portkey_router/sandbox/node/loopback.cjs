// Loaded with `node --require` before the gateway starts.
//
// The gateway knows no host option and binds every interface; here it answers on 127.0.0.1 only, on the port named by
// PORTKEY_ROUTER_SANDBOX_PORT (0: one that the system picks), and writes that port to the file named by
// PORTKEY_ROUTER_SANDBOX_PORT_FILE. It ends when its standard input does: the parent holds the other end, so the gateway
// goes with its parent, however that one ends.
'use strict';
const fs = require('node:fs');
const net = require('node:net');

const port = Number(process.env.PORTKEY_ROUTER_SANDBOX_PORT || 0);
const portFile = process.env.PORTKEY_ROUTER_SANDBOX_PORT_FILE;
const listen = net.Server.prototype.listen;

net.Server.prototype.listen = function listenOnLoopback(...args) {
  const ready = args.findLast((argument) => typeof argument === 'function');
  this.once('listening', () => {
    fs.writeFileSync(`${portFile}.new`, String(this.address().port));
    fs.renameSync(`${portFile}.new`, portFile);
  });
  return listen.call(this, { host: '127.0.0.1', port }, ready);
};

const leave = () => process.exit(0);
process.stdin.on('end', leave).on('close', leave).on('error', leave).resume();
// The parent ends the gateway itself; Ctrl-C at a terminal reaches the whole group, the tests in flight included.
process.on('SIGINT', () => {});
