/**
 * Nothing → the stand-in User Service as a separate process, which prints its base URL. It has the users `user-0` to
 * `user-999` with an address, and `mute-0` to `mute-999` without one.
 */
import { startUserService } from "../servers/user_service.ts";
import { USERS } from "./fill.ts";

const numbers = Array.from({ length: USERS }, (_, number) => number);
const service = startUserService({
  users: [
    ...numbers.map((n) => [`user-${n}`, { email: `user-${n}@example.com`, preferred_language: "en" }] as const),
    ...numbers.map((n) => [`mute-${n}`, { preferred_language: "en" }] as const),
  ],
});
console.log(service.baseUrl);
