"""Sentences that people say to a home, and the JSON that `home` is to answer (home_schema.md), made by a grammar.

    python3 home_grammar.py --out DIR            train.tsv, heldin.tsv, heldout.tsv: sentence, JSON, kind
    python3 home_grammar.py --out DIR --check    looks at what is there: the schema, the splits, the words

A clause is a template: `(a|b)` is one of the alternatives, `{slot}` words that put their meaning in the answer. Around
a clause come a time, politeness, slips of the tongue and of the fingers. What starts with `~` is kept from training, and so
are some combinations of slots (`kept_apart`): every sentence of the held-out split has at least one of these, though no word
that training has not. The held-in split has other sentences of the kind that training has.
"""

import argparse
import json
import os
import random
import re
import sys
import zlib

UNKNOWN = {"error": "unknown"}
KEYS = ["device", "room", "action", "value", "color", "name", "duration", "time", "in"]

ROOMS = {
    "kitchen": ["kitchen"], "living_room": ["living room", "lounge", "sitting room"], "bedroom": ["bedroom"],
    "bathroom": ["bathroom", "bath"], "hall": ["hall", "hallway", "corridor", "entrance"], "office": ["office", "study"],
    "dining_room": ["dining room"], "nursery": ["nursery", "kids' room", "children's room", "baby's room"],
    "guest_room": ["guest room", "spare room"], "garage": ["garage"], "garden": ["garden", "yard", "patio"],
    "attic": ["attic", "loft"], "cellar": ["cellar", "basement"], "laundry": ["laundry", "utility room", "laundry room"],
}
EVERYWHERE = ["everywhere", "in the whole house", "in the house", "in every room", "in all rooms", "all over the house"]
COLORS = ["red", "orange", "yellow", "green", "blue", "purple", "pink", "white", "warm", "cool"]
SCENES = ["movie", "dinner", "night", "morning", "party", "reading", "away", "holiday", "relax", "work"]

# Clauses that stand after "could you".
ORDERS = {
    "light on": ["turn {lights} off{slip}on", "(turn|switch) on {lights}", "(turn|switch|put) {lights} on",
                 "put on {lights}", "light up the {room}",
                 "get {lights} on", "give me (some|a) light{place}"],
    "light off": ["turn {lights} on{slip}off", "(turn|switch|shut) off {lights}", "(turn|switch|shut) {lights} off",
                  "put out {lights}", "kill {lights}",
                  "~get {lights} off", "turn {lights} out"],
    "light set": ["set {lights} to {percent}", "(dim|turn|bring|put) {lights} (to|down to) {percent}",
                  "~get {lights} to {percent}",
                  "change {lights} to {percent}", "set {lights} at {share}",
                  "(turn|set|make|switch|change) {lights} {to_color}",
                  "~put {lights} to {color}", "give me {color} light{place}", "put a {color} light on{place}"],
    "light up": ["make {lights} (brighter|a bit brighter|a little brighter)", "(brighten|brighten up) {lights}",
                 "turn {lights} up(| a bit| a little)", "give me (a bit |a little |)more light{place}",
                 "(raise|turn up) {lights}{by_percent}", "bring {lights} up{by_percent}",
                 "make {lights}{by_percent} brighter"],
    "light down": ["make {lights} (darker|a bit darker|a little darker|less bright)",
                   "dim {lights}(| a bit| a little){by_percent}",
                   "turn {lights} down(| a bit| a little){by_percent}", "(lower|turn down) {lights}{by_percent}",
                   "~bring {lights} down{by_percent}", "make {lights}{by_percent} darker"],
    "heating on": ["(turn|switch) on {heating}", "(turn|switch|put) {heating} on", "start {heating}",
                   "start heating the {room}",
                   "~get {heating} on"],
    "heating off": ["turn on{slip}off {heating}", "(turn|switch|shut) off {heating}", "(turn|switch|shut) {heating} off",
                    "stop {heating}",
                    "stop heating the {room}", "get {heating} off"],
    "heating set": ["set {heating} to {degrees}", "set the {room} to {degrees} degrees",
                    "(set|turn|put) it to {degrees} degrees{place}",
                    "(heat|warm|warm up) the {room} to {degrees}", "make it {degrees} degrees{place}",
                    "(put|turn) {heating} (to|at|up to) {degrees}", "~get the {room} to {degrees} degrees",
                    "set the temperature{place} to {degrees}", "heat the whole house to {all_degrees}",
                    "keep the {room} at {degrees}"],
    "heating up": ["turn {heating} up(| a bit| a little){by_degrees}",
                   "make it (warmer|a bit warmer|a little warmer){place}",
                   "make the {room} (warmer|a bit warmer|a little warmer)",
                   "warm (up the {room}|the {room} up)(| a bit| a little)",
                   "raise the temperature{place}{by_degrees}", "turn up {heating}{by_degrees}",
                   "~bring {heating} up{by_degrees}",
                   "make the {room} {step_degrees} warmer"],
    "heating down": ["turn {heating} down(| a bit| a little){by_degrees}",
                     "make it (cooler|colder|a bit cooler|a little cooler){place}",
                     "make the {room} (cooler|colder|a bit cooler)",
                     "cool (down the {room}|the {room} down)(| a bit| a little)",
                     "lower the temperature{place}{by_degrees}", "turn down {heating}{by_degrees}",
                     "bring {heating} down{by_degrees}", "make the {room} {step_degrees} colder"],
    "blind open": ["close{slip}open {blinds}", "open {blinds}", "(raise|lift) {blinds}", "(pull|roll|put|bring) {blinds} up",
                   "(pull|roll) up {blinds}",
                   "get {blinds} open", "open {blinds} (completely|all the way)", "open up {blinds}",
                   "let (some|the) (sun|light) in(to the {room}|), open the blinds"],
    "blind close": ["open{slip}close {blinds}", "(close|shut) {blinds}", "lower {blinds}",
                    "(pull|roll|put|bring) {blinds} down", "(pull|roll|let) down {blinds}",
                    "~get {blinds} closed", "(close|shut) {blinds} (completely|all the way)"],
    "blind stop": ["stop {blinds}", "(hold|halt) {blinds}", "make {blinds} stop"],
    "blind set": ["(set|put|turn) {blinds} (to|at) {share}", "(open|close|raise|lower) {blinds} to {percent}",
                  "get {blinds} to {percent}", "put {blinds} {half}", "open {blinds} {half}"],
    "timer start": ["(set|start|make) a timer (for|of) {duration}", "set (the|a|my) timer to {duration}",
                    "give me a {adjective} timer", "get me a timer (for|of) {duration}",
                    "start a {adjective} timer", "time {duration}(| for me)", "put {duration} on the timer",
                    "~get a timer going for {duration}",
                    "set a {adjective} timer", "count down from {duration}"],
    "timer stop": ["(stop|cancel|end|delete|turn off) (the|my|that) timer", "get rid of (the|my) timer",
                   "~make the timer stop"],
    "timer pause": ["(pause|hold|halt) (the|my) timer(| for now)", "put the timer on hold"],
    "timer resume": ["(resume|continue|restart) (the|my) timer", "let the timer (go on|continue|run)",
                     "~make the timer go on",
                     "carry on with the timer"],
    "media play": ["play (|some |the )(music|songs|tunes|radio){place}", "(turn|switch|put) on {music}",
                   "(turn|switch|put) {music} on",
                   "start {music}", "continue {music}", "carry on with the music{place}", "get {music} going",
                   "put some (music|tunes|songs) on{place}"],
    "media pause": ["pause {music}", "(hold|halt) the music{place}", "~put {music} on hold", "pause it"],
    "media stop": ["stop {music}", "(turn|switch|shut) off {music}", "(turn|switch|shut) {music} off", "stop playing{place}",
                   "end {music}", "make {music} stop"],
    "media next": ["(play|go to|skip to|give me) the next (song|track|one){place}",
                   "skip (this|the) (song|track|one){place}",
                   "skip it{place}", "~get the next (song|track){place}"],
    "media previous": ["(play|go to|go back to|give me) the (previous|last) (song|track|one){place}",
                       "go back (one|a) (song|track){place}",
                       "play (that|the last) (song|track|one) again{place}", "get the previous (song|track){place}",
                       "play the (song|track|one) before{place}"],
    "media mute": ["mute {music}", "silence {music}", "turn the (sound|volume) off{place}", "~get the sound off{place}",
                   "mute it{place}"],
    "media unmute": ["unmute {music}", "turn the (sound|volume) (back on|on again){place}", "get the sound back on{place}",
                     "unmute it{place}"],
    "media set": ["set the volume{place} to {volume}", "(turn|put|bring) the volume{place} to {volume}",
                  "set {music} to {volume}",
                  "(turn|put) {music} (up to|down to|to) {volume}", "~get the volume to {volume}{place}"],
    "media up": ["turn {music} up(| a bit| a little){by_volume}", "turn (it|the volume|the sound) up(| a bit){place}",
                 "make (it|{music}) (louder|a bit louder|a little louder)", "(raise|turn up) the volume{place}{by_volume}",
                 "bring the volume up{by_volume}{place}", "play it louder{place}"],
    "media down": ["turn {music} down(| a bit| a little){by_volume}", "turn (the volume|the sound) down(| a bit){place}",
                   "make (it|{music}) (quieter|a bit quieter|a little quieter)",
                   "(lower|turn down) the volume{place}{by_volume}",
                   "~bring the volume down{by_volume}{place}", "play it (quieter|less loud){place}"],
    "scene start": ["(start|activate|run|set|begin) (the |){scene} (scene|mode)",
                    "(turn|switch) on (the |){scene} (scene|mode)",
                    "(switch|change|go|set it) to (the |){scene} (scene|mode)", "set the (scene|mode) to {scene}",
                    "put the house in {scene} mode", "~get the {scene} (scene|mode) going", "go (in|into) {scene} mode"],
    "scene stop": ["(stop|end|leave|cancel|turn off|switch off) (the |){scene} (scene|mode)",
                   "turn the {scene} (scene|mode) off",
                   "(stop|end|leave|cancel|turn off|switch off) (the|this) (scene|mode)", "get out of {scene} mode",
                   "~make the {scene} (scene|mode) stop"],
}

# Clauses that stand by themselves: telegrams, wishes, complaints.
STATEMENTS = {
    "light on": ["{bare_lights} on", "lights on{place}", "(lamp|light), {place_only}, on", "i need (some |a |)light{place}",
                 "~i want {lights} on", "{lights} should be on", "it is (dark|pitch black){place}, put (a|the) light on"],
    "light off": ["{bare_lights} off", "lights (off|out){place}", "no (more |)light{place}", "~i want {lights} off",
                  "{lights} should be off", "i do not need {lights} any more", "everything dark{place}"],
    "light set": ["{bare_lights} (to|at) {share}", "{bare_lights} {color}", "i want {lights} (at|to be) {color}",
                  "{color} light{place}",
                  "~{lights} should be {color}", "i would like {lights} (to be |){color}", "i want {lights} at {share}",
                  "{lights} should be at {share}",
                  "{lights} should (go|turn) {color}"],
    "light up": ["(it is|it's) (too|way too|a bit too|so) dark{place}",
                 "i (can not|can't|can hardly) see (anything |){place}", "brighter{place}",
                 "more light{place}", "{bare_lights} up{by_percent}", "~the {room} is too dark", "{bare_lights} brighter",
                 "i need more light{place}"],
    "light down": ["(it is|it's) (too|way too|a bit too|so) bright{place}", "the light is too bright{place}",
                   "less light{place}",
                   "{bare_lights} down{by_percent}", "the {room} is too bright", "{bare_lights} (darker|dimmer)",
                   "the light hurts my eyes{place}"],
    "heating on": ["{bare_heating} on", "i want {heating} on", "~{heating} should be on", "i need (the |)heating{place}"],
    "heating off": ["{bare_heating} off", "i want {heating} off", "~{heating} should be off", "no (more |)heating{place}"],
    "heating set": ["{bare_heating} (to|at) {degrees}", "i want {degrees} degrees{place}", "{degrees} degrees{place}",
                    "the {room} should be {degrees} degrees", "i would like (it to be |){degrees} degrees{place}",
                    "~{heating} should be at {degrees}",
                    "the {room} (at|to) {degrees} degrees", "can we (get|have) it (at|to) {degrees} degrees{place}",
                    "thermostat{place} (to|at) {degrees}"],
    "heating up": ["(it is|it's) (too|so|a bit|a bit too|way too) (cold|chilly){place}",
                   "(i am|i'm) (cold|freezing|so cold){place}",
                   "(it is|it's) freezing{place}", "(a bit |a little |)warmer{place}", "{bare_heating} up{by_degrees}",
                   "the {room} is too cold",
                   "i need (it |)(warmer|a bit warmer){place}",
                   "it is (chilly|cold){place}, (warm it up|can you warm it up|turn it up)"],
    "heating down": ["(it is|it's) (too|so|a bit|a bit too|way too) (warm|hot){place}",
                     "(i am|i'm) (hot|boiling|too hot){place}",
                     "(it is|it's) boiling{place}", "(a bit |a little |)cooler{place}", "{bare_heating} down{by_degrees}",
                     "~the {room} is too warm",
                     "i need (it |)(cooler|a bit cooler){place}"],
    "blind open": ["{bare_blinds} (open|up)", "i want {blinds} (open|up)", "{blinds} should be open",
                   "{bare_blinds} all the way up"],
    "blind close": ["{bare_blinds} (closed|down|shut)", "i want {blinds} (closed|down)", "~{blinds} should be closed",
                    "{bare_blinds} all the way down"],
    "blind stop": ["{bare_blinds} stop", "stop, {blinds}", "~{blinds} should stop"],
    "blind set": ["{bare_blinds} (to|at) {share}", "{bare_blinds} {half}", "i want {blinds} at {share}",
                  "~{blinds} should be at {share}"],
    "timer start": ["timer(|,| for) {duration}", "{duration} timer", "{duration} on the timer",
                    "i need a timer(| for|,) {duration}",
                    "~i want a timer for {duration}", "a {adjective} timer"],
    "timer stop": ["timer (stop|off)", "no (more |)timer", "i do not need the timer any more", "~the timer should stop"],
    "timer pause": ["timer (pause|on hold)", "i need the timer on hold"],
    "timer resume": ["timer (resume|go on|continue)", "the timer should go on"],
    "media play": ["music(| on){place}", "i want (some |)music{place}", "some (music|tunes){place}",
                   "~i need some music{place}",
                   "i would like (some |to hear some )music{place}"],
    "media pause": ["music (pause|on hold){place}", "pause{place}"],
    "media stop": ["music (off|stop){place}", "no (more |)music{place}", "i do not want (the |)music any more{place}",
                   "i want the music off{place}"],
    "media next": ["next (song|track|one|){place}", "i do not like this (song|track){place}",
                   "i want the next (song|track){place}"],
    "media previous": ["(previous|last) (song|track){place}", "that (song|track) again{place}",
                       "~i want the previous (song|track){place}"],
    "media mute": ["mute{place}", "(sound|volume) off{place}", "silence{place}", "~i want the sound off{place}"],
    "media unmute": ["unmute{place}", "(sound|volume) (back on|on again){place}", "~i want the sound back on{place}"],
    "media set": ["volume{place} (to |at |){volume}", "music{place} to {volume}", "i want the volume at {volume}{place}",
                  "full volume{full}{place}", "the volume should be {volume}{place}",
                  "~the volume should be at {volume}{place}"],
    "media up": ["(it is|it's|the music is) too quiet{place}", "(louder|a bit louder|a little louder){place}",
                 "volume up{by_volume}{place}",
                 "i (can not|can't) hear (it|the music|anything){place}", "music up{by_volume}{place}",
                 "~the radio is too quiet{place}"],
    "media down": ["(it is|it's|the music is) (too|way too|so) loud{place}",
                   "(quieter|a bit quieter|a little quieter){place}", "volume down{by_volume}{place}",
                   "music down{by_volume}{place}", "~the radio is too loud{place}", "quiet, music down{by_volume}{place}"],
    "scene start": ["{scene} (scene|mode)(| on)", "{greeting}", "i want (the |){scene} (scene|mode)",
                    "(it is|it's) time for {scene} mode",
                    "i would like (the |){scene} (scene|mode)", "{leaving}, {away} mode",
                    "can we have (the |){scene} (scene|mode)"],
    "scene stop": ["{scene} (scene|mode) off", "no more {scene} (scene|mode)", "scene off",
                   "~i want (the |){scene} (scene|mode) off"],
}

QUESTIONS = {
    "light ask": ["(is|are) {lights} (on|off|still on)", "did i leave {lights} on",
                  "(have i|did i) (turn|turned) off {lights}", "are there any lights on{place}",
                  "is there (a|any) light on{place}", "what color (is|are) {lights}", "tell me if {lights} (is|are) on",
                  "how bright (is|are) {lights}",
                  "what (is|are) {lights} doing", "any lights on{place}"],
    "heating ask": ["how (warm|cold|hot) is it{place}", "(what is|what's) the temperature{place}",
                    "is {heating} (on|off|still on)",
                    "did i leave {heating} on", "how many degrees (is it|are there|do we have){place}",
                    "~tell me the temperature{place}",
                    "temperature{place}", "how warm is the {room}", "what is {heating} set to"],
    "blind ask": ["are {blinds} (open|closed|up|down|still open|shut)", "did i (close|open|leave open) {blinds}",
                  "how far (open|down) are {blinds}",
                  "are there any blinds open{place}", "~tell me if {blinds} are (open|closed)", "did {blinds} go (up|down)",
                  "is any (blind|shutter) (open|closed){place}"],
    "timer ask": ["how (long|much time) is left(| on the timer)",
                  "how (long|much time) (does|has) the timer (have|got) left", "is (the|my) timer (still |)(on|running)",
                  "what does the timer say", "~tell me how long is left on the timer", "how much longer",
                  "(when is|is) the timer done", "how long left"],
    "media ask": ["(what is|what's) (playing|on){place}", "what (song|track|music) is (this|that|playing|on){place}",
                  "is (there |)(any |the |)music (on|playing){place}",
                  "tell me what is playing{place}", "how loud is (it|the music){place}", "what is the volume{place}",
                  "which (song|track) is (this|on){place}",
                  "what am i listening to"],
    "scene ask": ["(what|which) (scene|mode) (is (on|active|running)|are we in)", "what is the (scene|mode)",
                  "is (the |){asked} (scene|mode) (on|active)",
                  "~tell me which scene is on", "what mode is (it|the house) in"],
}

BEFORE_ORDER = ["please ", "could you ", "can you ", "could you please ", "can you please ", "would you ",
                "would you please ", "i want you to ",
                "i need you to ", "go ahead and ", "would it be possible to ", "is it possible to ", "i would like you to ",
                "i'd like to ", "i want to ",
                "be so kind and ", "would you be so kind as to ", "just ", "you can ", "time to ", "could we ",
                "may i ask you to ", "~could i ask you to ", "~will you ",
                "do me a favor and ", "quickly ", "kindly ", "~would you kindly "]
OPENINGS = ["hey, ", "hi, ", "ok, ", "um, ", "so, ", "well, ", "uh ", "hello, ", "listen, ", "right, ", "er, ", "hey home, ",
            "home, ", "oh, ",
            "excuse me, ", "sorry, ", "~oh hey, ", "~ok so, ", "like, ", "now, "]
ENDINGS = [" please", ", please", ", thanks", " thank you", " now", " for me", ", would you", " ok", " if you can",
           ", will you", " right now",
           " if possible", ", thank you very much", " and thanks", ", and thank you", "~ if you would", "~ please and thank you",
           " again", " then", " already"]
JOINS = [" and ", " and then ", ", then ", " and also ", ", and ", " then ", ", also ", "~ and please ", " plus ", ". "]
CORRECTIONS = [" no ", ", no, ", ", sorry, ", " i mean ", ", i mean ", " no wait ", ", er, ", " or no, ", " no i mean ",
               ", no sorry, "]

# What is none of all this, by kind.
APPLIANCES = ["oven", "kettle", "dishwasher", "washing machine", "fan", "fridge", "coffee machine", "vacuum cleaner",
              "air conditioner", "printer",
              "computer", "dryer", "microwave", "toaster", "sprinkler", "alarm", "doorbell", "car", "pump", "camera",
              "router", "iron", "stove",
              "fireplace", "humidifier", "robot", "shower", "freezer", "phone", "charger", "heater fan", "hood", "hob",
              "mixer"]
OPENABLES = ["window", "front door", "door", "garage door", "gate", "fridge door", "safe", "curtain rod", "mailbox",
             "drawer", "windows", "doors"]
OTHER_ROOMS = ["stable", "barn", "school", "church", "castle", "library", "boat", "gym", "shop", "station", "moon", "museum",
               "pool", "sauna", "tower", "shed"]
OTHER_SCENES = ["gardening", "sports", "cooking", "gaming", "yoga", "homework", "wedding", "shopping", "cleaning",
                "painting", "fishing", "magic"]
OTHER_COLORS = ["brown", "black", "grey", "gold", "silver", "beige", "striped", "invisible", "khaki", "transparent"]
PEOPLE = ["my mother", "anna", "the doctor", "my brother", "tom", "grandma", "the office manager", "my boss",
          "the neighbors", "dad", "lisa", "the police"]
THINGS = ["milk", "bread", "eggs", "a pizza", "two tickets", "a taxi", "flowers", "butter", "apples", "new shoes", "a book",
          "coffee", "a table for two"]
TOPICS = ["the weather", "the news", "the time", "the date", "the traffic", "the football result", "the capital of france",
          "the meaning of life",
          "your name", "my schedule", "the stock market", "the next bus", "the bitcoin price", "the moon", "black holes",
          "the president"]
DAYS = ["on monday", "on tuesday", "on wednesday", "on thursday", "on friday", "on saturday", "on sunday", "tomorrow night",
        "tomorrow evening", "next week",
        "tomorrow", "the day after tomorrow", "on the first of may", "on christmas", "at the weekend", "next month",
        "tomorrow afternoon", "on my birthday"]
CONDITIONS = ["when i come home", "if it rains", "when it gets dark", "if nobody is home", "when i leave",
              "as soon as tom arrives", "at sunset", "at sunrise",
              "if it is colder than ten degrees", "when the sun goes down", "if the door opens", "when the timer is done",
              "when the movie starts",
              "if i am not home by nine", "after dinner", "before i go to bed", "when i get up", "unless it is warm",
              "until i come back"]
REPEATS = ["every day", "every morning", "every evening", "every night", "each day", "daily", "every monday", "on weekdays",
           "every hour", "twice a day",
           "every weekend", "always", "once a week"]

REFUSALS = {
    "other device": ["(turn|switch) {onoff} the {appliance}{place}", "(turn|switch) the {appliance} {onoff}{place}",
                     "(start|stop) the {appliance}{place}",
                     "the {appliance} {onoff}", "~i want the {appliance} {onoff}", "is the {appliance} on",
                     "(open|close|lock|unlock) the {openable}{place}",
                     "is the {openable} (open|closed|locked)", "set the {appliance} to {number}", "~{appliance} {onoff}",
                     "(fill|clean|empty|repair) the {appliance}",
                     "put the {appliance} on{place}", "did i leave the {appliance} on"],
    "other subject": ["(call|text|phone|invite) {person}", "send (a message|an email|a mail) to {person}",
                      "(buy|order|get me|find) {item}",
                      "add {item} to (the|my) (shopping list|list|cart)",
                      "(what is|what's|tell me about|do you know|explain) {topic}", "~i need {item}",
                      "who (won|is|wrote|invented) {topic}", "tell me a (joke|story|secret|riddle)",
                      "sing (a song for me|me a song|for me)",
                      "what is {number} (plus|times|minus|divided by) {number}", "how (old|tall|big|smart) are you",
                      "(wake|remind) me (at|of|about) {topic}",
                      "wake me up at {hour}", "remind me to (call {person}|buy {item})",
                      "will it (rain|snow) (today|tomorrow|tonight)", "what time is it",
                      "~(call|text) {person} and {person}", "translate {item} into (french|german|spanish)", "book {item}",
                      "water the (plants|flowers){place}",
                      "feed the (cat|dog|fish)", "(vacuum|clean|sweep|paint) the {room}", "where (is|are) {person}",
                      "when does {person} (come|leave|call)",
                      "read (the news|my mail|me a story)", "what day is it", "how far is it to {place_name}",
                      "take a picture of {person}", "spell {item}",
                      "i (like|love|hate|miss) {person}", "i (like|love|hate) the {room}",
                      "the {room} is (nice|big|small|a mess|mine)", "who is in the {room}",
                      "what is in the {room}", "~where is the {room}", "how big is the {room}"],
    "talk": ["hello", "hi there", "thanks", "thank you", "ok", "yes", "no", "maybe", "never mind", "forget it", "sorry",
             "what", "hm", "good job", "well done",
             "how are you", "who are you", "i am (tired|hungry|bored|happy|sad|late|back|fine)",
             "(that is|that was|it was|you are) (nice|great|wrong|right|funny|bad|fine)",
             "i (do not know|have no idea|am not sure|changed my mind)", "bye", "see you later",
             "(are|can) you (there|hear me|listening)", "la la la", "test", "wait", "help",
             "~i am not (hungry|tired|sad)", "you are (so |very |)(nice|funny|smart)", "what can you do",
             "do you like (me|music|{item})", "oh no", "wow", "really"],
    "out of range": ["set {lights} to {too_much} percent", "dim {lights} to {too_much} percent",
                     "set {heating} to {too_hot}", "make it {too_hot} degrees{place}",
                     "set the volume{place} to {too_much}", "volume to {too_much}{place}",
                     "set {blinds} to {too_much} percent", "~i want {too_hot} degrees{place}",
                     "heat the {room} to {too_hot}", "(set|turn) the heating{place} to minus {number}",
                     "{bare_lights} to {too_much}", "{bare_heating} to {too_hot}",
                     "turn {heating} up by {too_hot} degrees", "the {room} should be {too_hot} degrees"],
    "no action": ["{lights}", "the {room}", "{bare_lights}", "{heating}", "{bare_blinds}", "{blinds}", "{bare_heating}",
                  "the timer", "{place_only}", "the volume",
                  "~{lights} please", "{color}", "{percent}", "{number}", "(the |){room} and (the |){other_room}", "{hour}",
                  "the scene", "{number} {number}"],
    "no amount": ["set {heating}", "set {lights}", "set {blinds}", "set the volume{place}", "set a timer", "start a timer",
                  "set the temperature{place}", "~put {lights} to",
                  "set the {room} to", "start a scene", "turn {lights}", "turn {heating}", "set {lights} to", "timer for",
                  "set the heating to", "switch", "turn the",
                  "turn on the", "turn off", "turn on", "switch off the", "put {blinds}", "could you",
                  "the {room} should be", "set it to", "make the {room}"],
    "negation": ["(do not|don't|never) {order}", "please (do not|don't) {order}", "i (do not|don't) want (you |)to {order}",
                 "you (should not|must not) {order}", "~you should never {order}",
                 "there is no need to {order}", "why did you {order}", "who told you to {order}",
                 "~did i want you to {order}",
                 "did i ask you to {order}", "did tom want you to {order}", "(do not|don't) you dare to {order}",
                 "how do i {order}", "i will {order} (myself|later)", "tom wants to {order}", "i forgot to {order}"],
    "day": ["{order} {day}", "{day} {order}", "~{statement} {day}", "{order} {day} at {hour}", "{statement} {day} at {hour}",
            "{order} at {hour} {day}"],
    "length": ["{order} for {duration}", "{statement} for {duration}", "~for {duration} {order}",
               "{order} for (the next|another) {duration}", "{order} until {hour}",
               "{order} from {hour} (to|until) {hour}", "{order} between {hour} and {hour}"],
    "condition": ["{order} {condition}", "{condition} {order}", "{condition}, {order}", "~{statement} {condition}",
                  "{order} {condition} please", "please {order} {condition}"],
    "repetition": ["{order} {repeat}", "{repeat} {order}", "~{statement} {repeat}", "{order} {repeat} at {hour}",
                   "{order} at {hour} {repeat}", "{repeat} at {hour} {order}"],
    "exception": ["turn {onoff} all the lights (but|except) the {room}",
                  "turn {onoff} the lights everywhere (but|except) in the {room}",
                  "(open|close) all the blinds (but|except) the {room}", "~{order} but not in the {room}",
                  "all lights {onoff} (but|except) the {room}",
                  "heating {onoff} everywhere (but|except) in the {room}",
                  "(turn|switch) {onoff} everything (but|except) {lights}", "{order} but not {lights}"],
    "other room": ["turn {onoff} the lights in the {nowhere}", "turn {onoff} the {nowhere} lights",
                   "(open|close) the blinds in the {nowhere}", "lights {onoff} in the {nowhere}",
                   "set the {nowhere} to {degrees} degrees", "~(open|close) the {nowhere} blinds",
                   "play music in the {nowhere}", "heating {onoff} in the {nowhere}",
                   "how warm is it in the {nowhere}", "it is too dark in the {nowhere}", "is the light on in the {nowhere}"],
    "other scene": ["(start|activate) the {no_scene} (scene|mode)", "{no_scene} (scene|mode)", "switch to {no_scene} mode",
                    "~i want the {no_scene} scene", "stop the {no_scene} scene"],
    "other color": ["(turn|make|set) {lights} {no_color}", "set {lights} to {no_color}", "{bare_lights} {no_color}",
                    "~i want {lights} {no_color}", "{no_color} light{place}"],
    "two at odds": ["{order} and {none}", "{none} and {order}", "~{order} and then {none}", "{statement} and {none}",
                    "{none} then {order}", "{order}, {none}"],
    "three": ["{order}, {order} and {order}", "{order} and {order} and {order}", "~{order} then {order} then {order}",
              "{order}, {order}, {order}",
              "{statement}, {statement} and {statement}", "turn {onoff} the {room}, {other_room} and {other_room} lights",
              "{order} and {order} and then {order}"],
    "noise": ["{salad}", "{salad} {salad}", "~{salad} the {salad}", "the {salad} of {salad}", "a {salad} is a {salad}",
              "i {salad} my {salad}"],
}
SALAD = ("house river table seven lamp walking because under cheese three why fish running never tomorrow chair soft apple "
         "window both ask yesterday stone paper sing jump kitchen door open the of and with turn over light cat slow fast "
         "moon people many again shoe cloud salt engine grass money wall minute little").split()

# The key to the right of each on a keyboard.
BESIDE = dict(zip("abcdefghijklmnopqrstuvwxyz", "snvfrghjokmlknipwtdyicbcuz"))

# Slots that mean nothing to a home.
WORDS = {"onoff": ["on", "off"], "appliance": APPLIANCES, "openable": OPENABLES, "nowhere": OTHER_ROOMS,
         "no_scene": OTHER_SCENES,
         "no_color": OTHER_COLORS, "person": PEOPLE, "item": THINGS, "topic": TOPICS, "day": DAYS, "condition": CONDITIONS,
         "repeat": REPEATS, "slip": CORRECTIONS, "place_name": ["paris", "the station", "london", "the beach", "school",
                                                                "the moon"]}

ONES = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
        "eighteen nineteen").split()
TENS = "- - twenty thirty forty fifty sixty seventy eighty ninety".split()


def in_words(n, hyphen=False):
    if n < 20:
        return ONES[n]
    if n < 100:
        return TENS[n // 10] + (("-" if hyphen else " ") + ONES[n % 10] if n % 10 else "")
    hundreds = ("a" if n // 100 == 1 else ONES[n // 100]) + " hundred"
    return hundreds + (" and " + in_words(n % 100) if n % 100 else "")


def clock(minutes):
    return f"{minutes // 60 % 24:02d}:{minutes % 60:02d}"


def answer_text(answer):
    return json.dumps(answer, separators=(",", ":"))


def kept_apart(answer):
    """Combinations that training never sees, a fixed share of all."""
    commands = answer if isinstance(answer, list) else [answer]

    def one_in(n, *parts):
        return zlib.crc32(" ".join(map(str, parts)).encode()) % n == 0

    for c in commands:
        if "device" not in c:
            return False
        room = c.get("room")
        if room and room != "all" and one_in(9, c["device"], c["action"], room):
            return True
        if "value" in c and one_in(10, c["device"], c["value"]):
            return True
        if "color" in c and room and one_in(6, c["color"], room):
            return True
        if any(key in c and one_in(10, key, c[key]) for key in ("time", "in", "duration")):
            return True
    return len(commands) == 2 and one_in(8, *(part for c in commands for part in (c["device"], c["action"])))


class Speaker:
    """Makes sentences. `apart` allows templates that are kept from training; `slips` is the share of sentences with slips of
    the fingers, `capitals` of those in capitals alone, among what does not start with one."""

    def __init__(self, seed, apart=False, slips=0.1, capitals=0.02):
        self.rng, self.apart, self.slips, self.capitals = random.Random(seed), apart, slips, capitals

    def chance(self, share):
        return self.rng.random() < share

    def pick(self, templates):
        kept = [t for t in templates if t.startswith("~")]
        if self.apart and kept and self.chance(0.15):
            template = self.rng.choice(kept)
            self.kept_used.append(template)
            return template[1:]
        return self.rng.choice([t for t in templates if not t.startswith("~")])

    def say(self, template, fields):
        """Template to words; slots put their meaning in `fields`."""
        while "(" in template:
            template = re.sub(r"\(([^()]*)\)", lambda m: self.rng.choice(m[1].split("|")), template)
        return re.sub(r"\{(\w+)\}", lambda m: self.rng.choice(WORDS[m[1]]) if m[1] in WORDS else getattr(self, m[1])(fields),
                      template)

    def corrected(self, fields, make):
        """What a slot says, sometimes after a slip."""
        meant, slip = {}, {}
        words = make(meant)
        fields.update(meant)
        if self.chance(0.025):
            wrong = make(slip)
            if slip != meant:
                return wrong + self.rng.choice(CORRECTIONS) + words
        return words

    # Rooms and things

    def room(self, fields):
        def make(f):
            f["room"] = self.rng.choice(list(ROOMS))
            return self.rng.choice(ROOMS[f["room"]])
        return self.corrected(fields, make)

    def other_room(self, fields):
        return self.room({})

    def place_only(self, fields):
        if self.chance(0.08):
            fields["room"] = "all"
            return self.rng.choice(EVERYWHERE)
        words = self.room(fields)
        return self.rng.choice(["outside", "in the garden", "in the yard",
                                "on the patio"]) if fields["room"] == "garden" else "in the " + words

    def place(self, fields):
        if "room" in fields or self.chance(0.45):
            return self.rng.choice([" in here", " here"]) if "room" not in fields and self.chance(0.08) else ""
        return " " + self.place_only(fields)

    def thing(self, fields, nouns):
        """A noun with its room, before or behind it, or without."""
        noun = self.rng.choice(nouns)
        if "room" in fields or self.chance(0.3):
            return "the " + noun
        if self.chance(0.07):
            fields["room"] = "all"
            if noun.endswith("s"):
                return self.rng.choice([f"all the {noun}", f"all {noun}", f"every {noun[:-1]} in the house",
                                        f"all the {noun} in the house"])
            return f"the {noun} {self.rng.choice(EVERYWHERE)}"
        if self.chance(0.5):
            words = self.room(fields)
            return f"the {'outside' if words == 'garden' and self.chance(0.5) else words} {noun}"
        return f"the {noun} {self.place_only(fields)}"

    def bare(self, words):
        return words.removeprefix("the ")

    def lights(self, fields):
        return self.thing(fields, ["light", "lights", "lights", "lamp", "lamps"])

    def heating(self, fields):
        return self.thing(fields, ["heating", "heating", "radiator", "heat", "radiators", "thermostat", "heater"])

    def blinds(self, fields):
        return self.thing(fields, ["blinds", "blinds", "shutters", "shades", "blind", "shutter"])

    def music(self, fields):
        return self.thing(fields, ["music", "music", "radio", "speaker", "tv", "speakers"])

    def bare_lights(self, fields):
        return self.bare(self.lights(fields))

    def bare_heating(self, fields):
        return self.bare(self.heating(fields))

    def bare_blinds(self, fields):
        return self.bare(self.blinds(fields))

    # Amounts

    def spoken(self, n):
        return str(n) if self.chance(0.5) else in_words(n, self.chance(0.2))

    def whole(self, fields, low, high, step):
        def make(f):
            f["value"] = self.rng.randrange(low, high + 1, step if self.chance(0.6) else 1)
            return self.spoken(f["value"])
        return self.corrected(fields, make)

    def percent(self, fields):
        if self.chance(0.12):
            words, fields["value"] = self.rng.choice([("half", 50), ("a quarter", 25), ("three quarters", 75), ("full", 100),
                                                      ("maximum", 100)])
            return words
        return self.whole(fields, 0, 100, 5) + self.rng.choice([" percent", " percent", "%", ""])

    def share(self, fields):
        """Where a bare number could be an hour."""
        return self.whole(fields, 0, 100, 5) + self.rng.choice([" percent", "%"])

    def half(self, fields):
        words, fields["value"] = self.rng.choice([("half open", 50), ("half closed", 50), ("halfway", 50),
                                                  ("a quarter open", 25), ("three quarters open", 75)])
        return words

    def volume(self, fields):
        return self.percent(fields) if self.chance(0.4) else self.whole(fields, 0, 100, 5)

    def full(self, fields):
        fields["value"] = 100
        return ""

    def degrees(self, fields):
        def make(f):
            n = self.rng.choice([self.rng.randint(5, 30), self.rng.randint(15, 24), self.rng.randint(15, 24)])
            f["value"] = n
            if n < 30 and self.chance(0.15):
                f["value"] = n + 0.5
                return self.rng.choice([f"{n}.5", f"{n}.5", f"{in_words(n)} and a half", f"{in_words(n)} point five",
                                        f"{n} and a half"])
            return self.spoken(n)
        return self.corrected(fields, make)

    def all_degrees(self, fields):
        fields["room"] = "all"
        return self.degrees(fields) + self.rng.choice(["", " degrees"])

    def step_degrees(self, fields):
        n = self.rng.choice([1, 2, 3, 1, 2, 3, 4, 5, 0.5, 6, 7, 8, 9, 10, 1.5])
        fields["value"] = n
        if n == 0.5:
            return self.rng.choice(["half a degree", "0.5 degrees"])
        if n == 1.5:
            return self.rng.choice(["one and a half degrees", "1.5 degrees"])
        return self.rng.choice(["a degree", "one degree", "1 degree"]) if n == 1 else self.spoken(n) + " degrees"

    def by_degrees(self, fields):
        return "" if self.chance(0.45) else self.rng.choice([" by ", " "]) + self.step_degrees(fields)

    def by_percent(self, fields):
        return "" if self.chance(0.5) else " by " + self.whole(fields, 5, 60,
                                                               5) + self.rng.choice([" percent", " percent", "%"])

    def by_volume(self, fields):
        return "" if self.chance(0.5) else " by " + self.whole(fields, 1, 40, 5) + self.rng.choice(["", "", " percent"])

    def to_color(self, fields):
        return self.rng.choice(["", "", "to "]) + self.color(fields)

    def color(self, fields):
        def make(f):
            f["color"] = self.rng.choice(COLORS)
            return f["color"]
        return self.corrected(fields, make)

    def scene(self, fields):
        def make(f):
            f["name"] = self.rng.choice(SCENES)
            return f["name"]
        return self.corrected(fields, make)

    def asked(self, fields):
        return self.scene({})

    def greeting(self, fields):
        words, fields["name"] = self.rng.choice([("good night", "night"), ("good morning", "morning"),
                                                 ("movie time", "movie"), ("dinner time", "dinner"),
                                                 ("dinner is ready", "dinner"), ("party time", "party"),
                                                 ("let's party", "party"), ("time to relax", "relax"),
                                                 ("i want to read", "reading"), ("i want to relax", "relax"),
                                                 ("i am going to bed", "night"),
                                                 ("i have to work", "work"), ("let's watch a movie", "movie")])
        return words

    def leaving(self, fields):
        return self.rng.choice(["we are leaving", "we're leaving", "i am leaving", "i'm off", "we are going out"])

    def away(self, fields):
        fields["name"] = self.rng.choice(["away", "holiday"])
        return fields["name"]

    # Time

    def length(self, fields, key, joint=" ", plural=True):
        """A duration; `joint` is between a number and its unit."""
        r = self.rng
        if plural and self.chance(0.12):
            words, fields[key] = r.choice([("half an hour", "30m"), ("an hour", "1h"), ("a minute", "1m"),
                                           ("a quarter of an hour", "15m"),
                                           ("an hour and a half", "1h30m"), ("three quarters of an hour", "45m"),
                                           ("half a minute", "30s"),
                                           ("two and a half hours", "2h30m"), ("one and a half hours", "1h30m")])
            return words
        hours, minutes, seconds = r.choice([r.randint(1, 10), r.randint(1, 24)]), r.choice([r.randint(1, 60),
                                                                                            r.randrange(5, 65,
                                                                                                        5)]), r.randrange(5,
                                                                                                                          95,
                                                                                                                          5)
        kind = r.random()
        if kind < 0.55:
            parts = [(minutes, "minute")]
        elif kind < 0.7:
            parts = [(hours, "hour")]
        elif kind < 0.82 or not plural:
            parts = [(seconds if self.chance(0.8) else r.randint(1, 99), "second")]
        elif kind < 0.93:
            parts = [(hours, "hour"), (min(minutes, 59), "minute")]
        else:
            parts = [(minutes, "minute"), (min(seconds, 55), "second")]
        fields[key] = "".join(f"{n}{unit[0]}" for n, unit in parts)
        if plural and self.chance(0.06):
            return " ".join(f"{n} {unit[:3] if unit != 'hour' else 'h'}" for n, unit in parts)

        def counted(n, unit):
            number = "an" if (n, unit) == (1, "hour") and self.chance(0.3) else self.spoken(n)
            return number + joint + unit + "s" * (plural and n > 1)

        return r.choice([" and ", " "]).join(counted(*part) for part in parts)

    def duration(self, fields):
        return self.corrected(fields, lambda f: self.length(f, "duration"))

    def adjective(self, fields):
        return self.length(fields, "duration", self.rng.choice([" ", " ", "-"]), plural=False)

    def hour_words(self):
        """A clock time without part of the day: (words, hour 1 to 12, minutes to add)."""
        r, hour = self.rng, self.rng.randint(1, 12)
        name, kind = self.spoken(hour), r.random()
        if kind < 0.4:
            return name + r.choice(["", "", "", " o'clock"]), hour, 0
        if kind < 0.76:
            before, add = r.choice([("half past", 30), ("half past", 30), ("quarter past", 15), ("a quarter past", 15),
                                    ("quarter to", -15), ("a quarter to", -15)])
            if self.chance(0.25):
                n, side = r.choice([5, 10, 20, 25]), r.choice(["past", "to"])
                before, add = f"{self.spoken(n)} {side}", n if side == "past" else -n
            return f"{before} {name}", hour, add
        minute = r.choice([r.randrange(0, 60, 5), r.randrange(0, 60, 15), r.randint(0, 59)])
        if minute == 0 or self.chance(0.7):
            return f"{hour}{r.choice('::.')}{minute:02d}", hour, minute
        return f"{in_words(hour)} {'oh ' if minute < 10 else ''}{in_words(minute)}", hour, minute

    def clock_time(self, fields):
        r = self.rng
        if self.chance(0.06):
            words, fields["time"] = r.choice([("noon", "12:00"), ("midday", "12:00"), ("midnight", "00:00")])
            return words
        if self.chance(0.15):
            minutes = r.choice([r.randrange(24 * 60), 30 * r.randrange(48), 60 * r.randrange(24)])
            if not 10 <= minutes // 60 <= 12:
                fields["time"] = clock(minutes)
                return fields["time"]
        words, hour, add = self.hour_words()
        at, part = hour % 12 * 60 + add, r.random()
        if part < 0.45 or (add < 0 and hour in (1, 12)):
            fields["time"] = clock(12 * 60 + at)
            return words
        if part < 0.7 and "o'clock" not in words:
            afternoon = self.chance(0.55)
            fields["time"] = clock(at + 12 * 60 * afternoon)
            return words + ("" if words[-1].isdigit() and self.chance(0.4) else " ") + ("pm" if afternoon else "am")
        if hour < 12 and self.chance(0.5):
            fields["time"] = clock(at)
            return words + r.choice([" in the morning", " in the morning", " tomorrow morning"])
        fields["time"] = clock(12 * 60 + at)
        if hour < 6 or hour == 12:
            return words + " in the afternoon"
        return words + r.choice([" in the evening", " in the evening", " this evening", " tonight"])

    def hour(self, fields):
        return self.clock_time({})

    def when(self, fields):
        """A time or a delay, as it stands at the end of a sentence."""
        def make(f):
            if self.chance(0.6):
                return "at " + self.clock_time(f)
            return "in " + self.length(f, "in") if self.chance(0.85) else self.length(f, "in") + " from now"
        return self.corrected(fields, make)

    # What refusals are made of

    def number(self, fields):
        return self.spoken(self.rng.randint(1, 100))

    def too_much(self, fields):
        return self.spoken(self.rng.choice([self.rng.randint(101, 200), 10 * self.rng.randint(11, 99), 150, 200, 300]))

    def too_hot(self, fields):
        return self.spoken(self.rng.choice([self.rng.randint(31, 99), self.rng.randint(100, 300),
                                            10 * self.rng.randint(4, 20)]))

    def order(self, fields):
        return self.say(self.pick(ORDERS[self.rng.choice(list(ORDERS))]), {})

    def statement(self, fields):
        return self.say(self.pick(STATEMENTS[self.rng.choice(["light on", "light off", "heating on", "heating set",
                                                              "blind open", "blind close",
                                                              "media play", "media stop", "light set"])]), {})

    def none(self, fields):
        return self.say(self.pick(REFUSALS[self.rng.choice(["other device", "other subject", "other room", "other scene",
                                                            "out of range"])]), {})

    def salad(self, fields):
        return " ".join(self.rng.choice(SALAD) for _ in range(self.rng.randint(1, 4)))

    # Sentences

    def clause(self):
        """(words, command, table it is from)"""
        table = self.rng.choices([ORDERS, STATEMENTS, QUESTIONS], [60, 27, 13])[0]
        kind = self.rng.choice(list(table))
        device, action = kind.split()
        fields = {"device": device, "action": action}
        return self.say(self.pick(table[kind]), fields), fields, table

    def timed(self, words, fields, table, share, front):
        complaint = table is STATEMENTS and fields["action"] in ("up", "down")
        if fields["device"] == "timer" or table is QUESTIONS or complaint or not self.chance(share):
            return words
        when = self.when(fields)
        return f"{when}{self.rng.choice([' ', ', '])}{words}" if front and self.chance(0.25) else f"{words} {when}"

    def asked_for(self, words, table, share):
        return self.pick(BEFORE_ORDER) + words if table is ORDERS and self.chance(share) else words

    def one(self):
        words, fields, table = self.clause()
        words = self.asked_for(words, table, 0.4)
        kind = f"{fields['device']} {fields['action']}"
        return self.timed(words, fields, table, 0.3, True), [fields], kind, table is QUESTIONS

    def two(self):
        if self.chance(0.35):
            words, commands = self.shared()
            return words, commands, "two of one verb", False
        words, commands = [], []
        for share in (0.12, 0.2):
            clause, fields, table = self.clause()
            words.append(self.timed(self.asked_for(clause, table, 0.15), fields, table, share, False))
            commands.append(fields)
        return self.pick(JOINS).join(words), commands, "two", table is QUESTIONS

    def shared(self):
        """One verb with two rooms, or two devices."""
        r, first, second = self.rng, {}, {}
        link = r.choice([" and ", " and ", " as well as "])
        before = self.asked_for("", ORDERS, 0.4)
        if self.chance(0.4):
            state, actions = r.choice([("on", ("on", "on", "play")), ("off", ("off", "off", "stop"))])
            a, b = r.sample([("light", "lights"), ("heating", "heating"), ("media", "music")], 2)
            action = dict(zip(("light", "heating", "media"), actions))
            first.update(device=a[0], action=action[a[0]]), second.update(device=b[0], action=action[b[0]])
            both = self.pick(["", "~both "])
            things = f"{both}the {a[1]}{link}the {b[1]}"
            place = self.place(first)
            words = r.choice([f"turn {state} {things}{place}", f"switch {state} {things}{place}",
                              f"turn {things} {state}{place}"])
            second.update({key: first[key] for key in ("room",) if key in first})
        else:
            kind, verb, noun, rest = r.choice([
                ("light on", "turn on", "lights", ""), ("light off", "turn off", "lights", ""),
                ("blind open", "open", "blinds", ""),
                ("blind close", "close", "blinds", ""), ("heating off", "turn off", "heating", ""),
                ("heating on", "turn on", "heating", ""),
                ("light set", "set", "lights", "percent"), ("light set", "turn", "lights", "color"),
                ("heating set", "set", "heating", "degrees"),
                ("blind set", "set", "blinds", "percent")])
            first["device"], first["action"] = kind.split()
            a, b = self.room(first), self.room(second)
            things = r.choice([f"the {a} {noun}{link}the {b} {noun}", f"both the {a} and the {b} {noun}",
                               f"the {a}{link}{b} {noun}",
                               f"the {a}{link}the {b} {noun}",
                               f"the {noun} in the {a}{link}the {b}", f"the {noun} in the {a}{link}in the {b}"])
            words = f"{verb} {things}"
            if rest:
                words += (" to " if rest != "color" else " ") + getattr(self, rest)(first)
            second = {**first, **second}
        if self.chance(0.3):
            words += " " + self.when(first)
            second.update({key: first[key] for key in ("time", "in") if key in first})
        return before + words, [first, second]

    def refusal(self):
        kind = self.rng.choice(list(REFUSALS))
        words = self.say(self.pick(REFUSALS[kind]), {})
        if kind not in ("talk", "noise", "no action", "negation") and self.chance(0.25):
            words = self.pick(BEFORE_ORDER) + words
        return words, [], "unknown: " + kind, words.startswith(("is ", "what", "who", "how", "when", "where", "will",
                                                                  "are"))

    def typed(self, words, question):
        """As it may be written: openings, endings, capitals, punctuation, slips of the fingers."""
        r = self.rng
        if self.chance(0.15):
            words = self.pick(OPENINGS) + words
        if self.chance(0.22):
            words += self.pick(ENDINGS)
        if self.chance(0.5):
            words = re.sub(r",(?= )", "", words)
        if self.chance(0.1):
            words = words.replace("'", "")
        words = re.sub(r" +", " ", words).strip()
        if self.chance(self.slips):
            for _ in range(r.choice([1, 1, 2])):
                words = self.slip_of_fingers(words)
        if self.chance(0.5):
            words = re.sub(r"\bi\b", "I", words)
        if self.chance(0.45):
            words = words[0].upper() + words[1:]
        elif self.chance(self.capitals):
            words = words.upper()
        if self.chance(0.4):
            words += "?" if question or words.lower().startswith(("could", "can", "would")) else r.choice([".", ".", "!"])
        return words

    def slip_of_fingers(self, words):
        """A letter inside a word of four or more is lost, doubled, swapped with the next or hit beside."""
        long = list(re.finditer(r"[a-z]{4,}", words))
        if not long:
            return words
        word = self.rng.choice(long)
        at = self.rng.randrange(word.start() + 1, word.end() - 1)
        a, b = words[at], words[at + 1]
        return words[:at] + self.rng.choice([b, a + a + b, b + a, BESIDE[a] + b]) + words[at + 2:]

    def sentence(self):
        """(sentence, answer, kind, what of it is kept from training or "")"""
        self.kept_used = []
        make = self.rng.choices([self.one, self.two, self.refusal], [64, 18, 18])[0]
        words, meaning, kind, question = make()
        words = self.typed(words, question)
        commands = [{key: c[key] for key in KEYS if key in c} for c in meaning]
        answer = commands if len(commands) == 2 else commands[0] if commands else UNKNOWN
        return words, answer, kind, self.kept_used[0] if self.kept_used else "slots" if kept_apart(answer) else ""


def words_of(sentence):
    return re.findall(r"[a-z']+|[0-9]+", sentence.lower())


def make_splits(seed, train, test):
    """Three lists of (sentence, JSON, kind, what is kept apart). Of what could mean two things the first meaning stays.
    Training has more of what is hard: slips of the fingers and capitals."""
    answers, splits = {}, {"heldout": [], "heldin": [], "train": []}

    def fill(split, count, speaker, wanted):
        while len(splits[split]) < count:
            sentence, answer, kind, apart = speaker.sentence()
            known = answers.setdefault(sentence.lower(), answer)
            if known == answer and sentence not in seen and wanted(sentence, apart):
                seen.add(sentence)
                splits[split].append((sentence, answer_text(answer), kind, apart))

    seen, vocabulary = set(), set()
    fill("heldin", test, Speaker(f"{seed} plain"), lambda sentence, apart: not apart)
    fill("train", train, Speaker(f"{seed} train", slips=0.2, capitals=0.12), lambda sentence, apart: not apart)
    for sentence, *_ in splits["train"]:
        vocabulary.update(words_of(sentence))
    fill("heldout", test, Speaker(f"{seed} apart", apart=True),
         lambda sentence, apart: apart and vocabulary.issuperset(words_of(sentence)))
    return splits


# The schema

ACTIONS = {
    "light": {"on", "off", "set", "up", "down", "ask"}, "heating": {"on", "off", "set", "up", "down", "ask"},
    "blind": {"open", "close", "stop", "set", "ask"}, "timer": {"start", "stop", "pause", "resume", "ask"},
    "media": {"play", "pause", "stop", "next", "previous", "mute", "unmute", "set", "up", "down", "ask"},
    "scene": {"start", "stop", "ask"},
}
DURATION = re.compile(r"(?=.)([1-9][0-9]{0,2}h)?([1-9][0-9]{0,2}m)?([1-9][0-9]{0,2}s)?")
RANGES = {"light set": (0, 100), "blind set": (0, 100), "media set": (0, 100), "heating set": (5, 30),
          "heating up": (0.5, 10), "heating down": (0.5, 10),
          "light up": (1, 100), "light down": (1, 100), "media up": (1, 100), "media down": (1, 100)}


def answer_pattern():
    """A regular expression of all answers and of nothing else; `fault_of` looks at the same from the other side."""
    halves = r"([1-9](\.5)?|0\.5|10)"
    numbers = {(0, 100): "([0-9]|[1-9][0-9]|100)", (1, 100): "([1-9]|[1-9][0-9]|100)",
               (5, 30): r"(([5-9]|[12][0-9])(\.5)?|30)", (0.5, 10): halves}
    hours, minutes, seconds = ("[1-9][0-9]{0,2}" + unit for unit in "hms")
    span = f"({hours}({minutes})?({seconds})?|{minutes}({seconds})?|{seconds})"
    room = f',"room":"({"|".join([*ROOMS, "all"])})"'
    later = f'(,"time":"([01][0-9]|2[0-3]):[0-5][0-9]"|,"in":"{span}")'

    def choice(words):
        return f'"({"|".join(sorted(words))})"'

    def value(device, action):
        return f',"value":{numbers[RANGES[f"{device} {action}"]]}'

    commands = []
    for device, actions in ACTIONS.items():
        forms = ['"ask"']
        bare = actions - {"ask", "set", "up", "down"}
        when = f"{later}?"
        if device == "timer":
            forms += [f'"start","duration":"{span}"', choice(bare - {"start"})]
        elif device == "scene":
            name = f',"name":{choice(SCENES)}'
            forms += [f'"start"{name}{when}', f'"stop"({name})?{when}']
        else:
            forms += [choice(bare) + when]
            forms += [f'"{a}"({value(device, a)})?{when}' for a in ("up", "down") if a in actions]
            if "set" in actions:
                color = f'|,"color":{choice(COLORS)}' if device == "light" else ""
                forms += [f'"set"({value(device, "set")}{color}){when}']
        place = "" if device in ("timer", "scene") else f"({room})?"
        commands.append(rf'\{{"device":"{device}"{place},"action":({"|".join(forms)})\}}')
    command = f"({'|'.join(commands)})"
    return rf'({command}|\[{command},{command}\]|\{{"error":"unknown"\}})'


def fault_of_command(c):
    """What is wrong with a command, or ""."""
    if not isinstance(c, dict) or list(c) != [key for key in KEYS if key in c]:
        return "keys"
    device, action, value = c.get("device"), c.get("action"), c.get("value")
    if device not in ACTIONS or action not in ACTIONS[device]:
        return "device or action"
    if "room" in c and (c["room"] not in [*ROOMS, "all"] or device in ("timer", "scene")):
        return "room"
    if "value" in c:
        low, high = RANGES.get(f"{device} {action}", (1, 0))
        if type(value) not in (int, float) or not low <= value <= high or value * (2 if device == "heating" else 1) % 1:
            return "value"
    if ("color" in c) and (device != "light" or action != "set" or c["color"] not in COLORS):
        return "color"
    if action == "set" and ("value" in c) == ("color" in c):
        return "one of value and color"
    if "name" in c and (device != "scene" or action == "ask" or c["name"] not in SCENES):
        return "name"
    if (device, action) == ("scene", "start") and "name" not in c:
        return "name"
    if ("duration" in c) != ((device, action) == ("timer", "start")):
        return "duration"
    if not all(DURATION.fullmatch(c[key]) for key in ("duration", "in") if key in c):
        return "duration"
    if "time" in c and not re.fullmatch("([01][0-9]|2[0-3]):[0-5][0-9]", c["time"]):
        return "time"
    if ("time" in c) + ("in" in c) > (device != "timer" and action != "ask"):
        return "time and in"
    return ""


def fault_of(text):
    """What is wrong with an answer, or ""."""
    try:
        answer = json.loads(text)
    except ValueError:
        return "no JSON"
    if answer_text(answer) != text:
        return "spaces"
    if answer == UNKNOWN:
        return ""
    if not isinstance(answer, list):
        return fault_of_command(answer)
    return next(filter(None, map(fault_of_command, answer)), "") if len(answer) == 2 else "length of the list"


def write_splits(splits, folder):
    os.makedirs(folder, exist_ok=True)
    for name, rows in splits.items():
        with open(f"{folder}/{name}.tsv", "w", encoding="utf-8") as f:
            f.writelines("\t".join(row) + "\n" for row in rows)


def read_split(path):
    with open(path, encoding="utf-8") as f:
        return [line.rstrip("\n").split("\t") for line in f]


def check(folder):
    """Looks at the files, not at how they were made."""
    written = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tests/data/home_written.tsv")
    splits = {name: read_split(f"{folder}/{name}.tsv") for name in ("train", "heldin", "heldout")}
    splits["written"] = read_split(written)
    faults, pattern = [], re.compile(answer_pattern())
    for name, rows in splits.items():
        faults += [f"{name}: {row[0]}: {row[1]}: {fault}" for row in rows if (fault := fault_of(row[1]))]
        faults += [f"{name}: {row[1]}: not of the pattern of answers" for row in rows if not pattern.fullmatch(row[1])]
        if len({row[0] for row in rows}) != len(rows):
            faults.append(f"{name}: a sentence twice")
    train = {row[0] for row in splits["train"]}
    seen = set().union(*(words_of(sentence) for sentence in train))
    for name in ("heldin", "heldout"):
        faults += [f"{name}: in the training split: {row[0]}" for row in splits[name] if row[0] in train]
    faults += [f"heldout: a word that training has not: {row[0]}" for row in splits["heldout"]
               if not seen.issuperset(words_of(row[0]))]
    for name in ("train", "heldin"):
        faults += [f"{name}: a combination kept apart: {row[0]}" for row in splits[name] if kept_apart(json.loads(row[1]))]
    kept = {t for table in (ORDERS, STATEMENTS, QUESTIONS,
                            REFUSALS) for ts in table.values() for t in ts if t.startswith("~")}
    kept |= {t for ts in (BEFORE_ORDER, ENDINGS, JOINS, OPENINGS) for t in ts if t.startswith("~")}
    faults += [f"heldout: no sentence of {t}" for t in sorted(kept - {row[3] for row in splits["heldout"]})]
    for name, rows in splits.items():
        unknown, two = sum(row[1] == answer_text(UNKNOWN) for row in rows), sum(row[1].startswith("[") for row in rows)
        print(f"{name}: {len(rows)} sentences, {len({row[1] for row in rows})} answers, {unknown} refusals, {two} of two, "
              f"{sum(row[0] in train for row in rows)} in train")
    kinds = {}
    for row in splits["train"]:
        kinds[row[2]] = kinds.get(row[2], 0) + 1
    print(f"train: {len(seen)} words, {len(kinds)} kinds, the rarest {min(kinds.items(), key=lambda item: item[1])}")
    print(f"heldout: {sum(row[3] == 'slots' for row in splits['heldout'])} by slots, {len(kept)} templates")
    for fault in faults[:20]:
        print(fault, file=sys.stderr)
    return len(faults)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", required=True, help="folder of the three splits")
    parser.add_argument("--check", action="store_true", help="check what is there instead of making it")
    parser.add_argument("--train", type=int, default=400000, help="sentences of the training split")
    parser.add_argument("--test", type=int, default=20000, help="sentences of each test split")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    if args.check:
        faults = check(args.out)
        sys.exit(f"{faults} faults" if faults else 0)
    write_splits(make_splits(args.seed, args.train, args.test), args.out)


if __name__ == "__main__":
    main()
