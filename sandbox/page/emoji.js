// Slack's names of the emoji that turn up around incidents; a name that is not here is shown as it was written.

const TABLE = `
+1 👍|thumbsup 👍|-1 👎|thumbsdown 👎|ok_hand 👌|wave 👋|clap 👏|pray 🙏|raised_hands 🙌|raised_hand ✋|hand ✋|muscle 💪|point_right 👉
point_left 👈|point_up ☝️|point_down 👇|point_up_2 👆|eyes 👀|writing_hand ✍️|handshake 🤝|crossed_fingers 🤞|facepalm 🤦|shrug 🤷|no_good 🙅|raising_hand 🙋
smile 😄|smiley 😃|grinning 😀|slightly_smiling_face 🙂|wink 😉|blush 😊|joy 😂|laughing 😆|sweat_smile 😅|thinking_face 🤔|neutral_face 😐|confused 😕
worried 😟|cry 😢|sob 😭|scream 😱|sweat 😓|rage 😡|angry 😠|tired_face 😫|sleeping 😴|zzz 💤|sunglasses 😎|nerd_face 🤓|relieved 😌|grimacing 😬|exploding_head 🤯
face_with_monocle 🧐|melting_face 🫠|saluting_face 🫡|robot_face 🤖|ghost 👻|skull 💀|clown_face 🤡|heart ❤️|broken_heart 💔|green_heart 💚|blue_heart 💙|yellow_heart 💛|purple_heart 💜
fire 🔥|boom 💥|sparkles ✨|star ⭐|star2 🌟|zap ⚡|sunny ☀️|cloud ☁️|partly_sunny ⛅|rain_cloud 🌧️|thunder_cloud_and_rain ⛈️|snowflake ❄️|rainbow 🌈|ocean 🌊|seedling 🌱|herb 🌿|four_leaf_clover 🍀|mostly_sunny 🌤️
red_circle 🔴|large_red_circle 🔴|large_orange_circle 🟠|orange_circle 🟠|large_yellow_circle 🟡|yellow_circle 🟡|large_green_circle 🟢|green_circle 🟢|large_blue_circle 🔵|blue_circle 🔵|large_purple_circle 🟣|white_circle ⚪|black_circle ⚫
red_square 🟥|large_red_square 🟥|large_orange_square 🟧|large_yellow_square 🟨|large_green_square 🟩|large_blue_square 🟦|white_large_square ⬜|black_large_square ⬛|small_red_triangle 🔺|large_blue_diamond 🔷|diamond_shape_with_a_dot_inside 💠
white_check_mark ✅|heavy_check_mark ✔️|ballot_box_with_check ☑️|x ❌|negative_squared_cross_mark ❎|heavy_multiplication_x ✖️|heavy_plus_sign ➕|heavy_minus_sign ➖|question ❓|grey_question ❔|exclamation ❗|heavy_exclamation_mark ❗|bangbang ‼️|interrobang ⁉️
warning ⚠️|no_entry ⛔|no_entry_sign 🚫|octagonal_sign 🛑|stop_sign 🛑|rotating_light 🚨|sos 🆘|construction 🚧|radioactive_sign ☢️|biohazard_sign ☣️|100 💯|recycle ♻️|information_source ℹ️|new 🆕|up 🆙|ok 🆗|free 🆓|cool 🆒
arrow_up ⬆️|arrow_down ⬇️|arrow_left ⬅️|arrow_right ➡️|arrow_upper_right ↗️|arrow_lower_right ↘️|arrow_right_hook ↪️|leftwards_arrow_with_hook ↩️|arrows_counterclockwise 🔄|arrows_clockwise 🔃|repeat 🔁|twisted_rightwards_arrows 🔀|arrow_double_up ⏫|fast_forward ⏩|arrow_forward ▶️|double_vertical_bar ⏸️|black_square_for_stop ⏹️|end 🔚|back 🔙|soon 🔜
alarm_clock ⏰|stopwatch ⏱️|timer_clock ⏲️|hourglass ⌛|hourglass_flowing_sand ⏳|watch ⌚|clock1 🕐|clock3 🕒|clock6 🕕|clock9 🕘|clock12 🕛|calendar 📅|date 📅|spiral_calendar_pad 🗓️
pager 📟|telephone ☎️|phone ☎️|telephone_receiver 📞|calling 📲|iphone 📱|bell 🔔|no_bell 🔕|loudspeaker 📢|mega 📣|speaker 🔈|loud_sound 🔊|mute 🔇|speech_balloon 💬|thought_balloon 💭|left_speech_bubble 🗨️|incoming_envelope 📨|email ✉️|envelope ✉️|mailbox 📫|satellite_antenna 📡
book 📖|books 📚|closed_book 📕|green_book 📗|blue_book 📘|orange_book 📙|notebook 📓|ledger 📒|page_facing_up 📄|page_with_curl 📃|scroll 📜|memo 📝|pencil 📝|pencil2 ✏️|clipboard 📋|pushpin 📌|round_pushpin 📍|paperclip 📎|link 🔗|bookmark 🔖|label 🏷️|file_folder 📁|open_file_folder 📂|card_index_dividers 🗂️|wastebasket 🗑️
chart_with_upwards_trend 📈|chart_with_downwards_trend 📉|bar_chart 📊|mag 🔍|mag_right 🔎|microscope 🔬|telescope 🔭|thermometer 🌡️|wrench 🔧|hammer 🔨|hammer_and_wrench 🛠️|gear ⚙️|nut_and_bolt 🔩|toolbox 🧰|lock 🔒|unlock 🔓|key 🔑|closed_lock_with_key 🔐|shield 🛡️|fire_extinguisher 🧯|fire_engine 🚒|ambulance 🚑|firefighter 🧑‍🚒
computer 💻|desktop_computer 🖥️|floppy_disk 💾|cd 💿|electric_plug 🔌|battery 🔋|bulb 💡|flashlight 🔦|package 📦|inbox_tray 📥|outbox_tray 📤|credit_card 💳|moneybag 💰|shopping_trolley 🛒|cloud_with_lightning 🌩️|globe_with_meridians 🌐|earth_africa 🌍|rocket 🚀|airplane ✈️|ship 🚢|anchor ⚓|traffic_light 🚦|vertical_traffic_light 🚥
tada 🎉|confetti_ball 🎊|medal 🏅|trophy 🏆|checkered_flag 🏁|triangular_flag_on_post 🚩|white_flag 🏳️|dart 🎯|military_medal 🎖️|level_slider 🎚️|control_knobs 🎛️|game_die 🎲|jigsaw 🧩|bug 🐛|beetle 🐞|snail 🐌|turtle 🐢|dog 🐶|cat 🐱|see_no_evil 🙈|unicorn_face 🦄|coffee ☕|beer 🍺|pizza 🍕|popcorn 🍿|cake 🍰
bust_in_silhouette 👤|busts_in_silhouette 👥|male-technologist 👨‍💻|female-technologist 👩‍💻|technologist 🧑‍💻|detective 🕵️|sleuth_or_spy 🕵️|eye 👁️|ear 👂|brain 🧠|crown 👑|house 🏠|office 🏢|hospital 🏥|bank 🏦|factory 🏭|one 1️⃣|two 2️⃣|three 3️⃣|four 4️⃣|five 5️⃣|six 6️⃣|seven 7️⃣|eight 8️⃣|nine 9️⃣|zero 0️⃣|keycap_ten 🔟|hash #️⃣
`;

const EMOJI = new Map(
  TABLE.trim().split(/[|\n]/).map((pair) => {
    const at = pair.lastIndexOf(" ");
    return [pair.slice(0, at), pair.slice(at + 1)];
  }),
);

/** The character of an emoji's name (without colons), or undefined. */
export function emoji(name) {
  return EMOJI.get(name.toLowerCase());
}

/** Plain text with the emoji it names. */
export function withEmoji(text) {
  return text.replace(/:([a-z0-9_+'-]+):(?::skin-tone-\d:)?/gi, (whole, name) => emoji(name) ?? whole);
}
