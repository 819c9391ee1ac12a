export class Peer {}
